#include "pad_image.h"

namespace mxq {
namespace cuda {
namespace {

// A thread writes four bytes; rows have multiples of four.
__global__ void pad_image_kernel(PadImage p) {
  const int words = static_cast<int>(p.row_pitch / 4);
  const unsigned at = flat_index();
  const int word = static_cast<int>(at % words);
  const unsigned row = at / words;
  const int image = static_cast<int>(row / p.out_h), y = static_cast<int>(row % p.out_h) - p.top;
  if (image >= p.batch) return;
  unsigned packed = 0;
  for (int i = 0; i < 4; ++i) {
    const int byte = 4 * word + i, x = byte / p.pixel_pitch - p.left, in_pixel = byte % p.pixel_pitch;
    const int group = in_pixel / p.group_pitch, channel = in_pixel % p.group_pitch;
    int value = p.value & 255;
    if (y >= 0 && y < p.in_h && x >= 0 && x < p.in_w && channel < p.group_in) {
      const int64_t pixel = (static_cast<int64_t>(image) * p.in_h + y) * p.in_w + x;
      value = p.from[pixel * p.groups * p.group_in + group * p.group_in + channel];
    }
    packed |= static_cast<unsigned>(value) << 8 * i;
  }
  *reinterpret_cast<unsigned*>(p.to + image * p.image_pitch + (y + p.top) * p.row_pitch + 4 * word) = packed;
}

}  // namespace

void launch_pad_image(const PadImage& p, cudaStream_t stream) {
  launch_flat(pad_image_kernel, p.batch * p.out_h * (p.row_pitch / 4), stream, p);
}

}  // namespace cuda
}  // namespace mxq
