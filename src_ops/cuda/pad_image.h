// A copy of channels-last data whose groups of channels are padded, with zero points around the image where wanted.
#pragma once

#include "device.h"

namespace mxq {
namespace cuda {

struct PadImage {
  const uint8_t* from;
  uint8_t* to;
  int batch, in_h, in_w, groups, group_in;
  int out_h, out_w, group_pitch, pixel_pitch, top, left;
  int64_t row_pitch, image_pitch;  // of the copy; a row may have bytes after its last pixel
  int value;
};

void launch_pad_image(const PadImage& params, cudaStream_t stream);

}  // namespace cuda
}  // namespace mxq
