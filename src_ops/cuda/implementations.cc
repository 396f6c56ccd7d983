#include "implementations.h"

#include <map>

namespace mxq {

std::vector<Implementation> cuda_implementations(const std::string& op) {
  // The tile shapes behind "direct" are for whoever names them: "mma" chooses among them.
  static const std::vector<Implementation> linear = {
      {"mma", cuda::linear_auto},
      {"direct", cuda::linear_direct},
      {"mma256x128", cuda::linear_with_tile<0>},
      {"mma128x128", cuda::linear_with_tile<1>},
      {"mma128x64", cuda::linear_with_tile<2>},
      {"mma64x128", cuda::linear_with_tile<3>},
      {"mma64x64", cuda::linear_with_tile<4>},
      {"dp4a", cuda::linear_with_tile<5>},
  };
  static const std::map<std::string, std::vector<Implementation>> table = [] {
    std::map<std::string, std::vector<Implementation>> t;
    t["mxq_conv"] = linear;
    t["mxq_conv"].insert(t["mxq_conv"].begin(), {"depthwise", cuda::conv_depthwise});
    t["mxq_fully_connected"] = linear;
    t["mxq_quantize_v2"] = {{"cuda", cuda::quantize_v2}};
    t["mxq_dequantize"] = {{"cuda", cuda::dequantize}};
    t["mxq_requantize"] = {{"cuda", cuda::requantize}};
    t["mxq_lut"] = {{"cuda", cuda::lut}};
    t["mxq_affine"] = {{"cuda", cuda::affine}};
    t["mxq_lrn"] = {{"cuda", cuda::lrn}};
    t["mxq_pooling"] = {{"cuda", cuda::pooling}};
    t["mxq_concat"] = {{"cuda", cuda::concat}};
    for (const char* op : {"add", "sub", "mul"}) t[std::string("mxq_elemwise_") + op] = {{"cuda", cuda::elemwise}};
    for (const char* op : {"flatten", "reshape", "transpose", "slice", "expand_dims", "upsampling"}) {
      t[std::string("mxq_") + op] = {{"cuda", cuda::strided_copy}};
    }
    t["mxq_pad"] = {{"cuda", cuda::pad}};
    t["mxq_resize"] = {{"cuda", cuda::resize}};
    t["mxq_region"] = {{"plan", cuda::region}};
    return t;
  }();
  const auto found = table.find(op);
  return found == table.end() ? std::vector<Implementation>() : found->second;
}

}  // namespace mxq
