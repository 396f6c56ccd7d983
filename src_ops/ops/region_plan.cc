#include "region_plan.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "../core/arena.h"

namespace mxq {
namespace {

class Planner {
 public:
  Planner(const RegionOp& op, const std::vector<TensorType>& in, Device device)
      : op_(op), lines_(*op.lines), num_inputs_(static_cast<int>(in.size())), in_(op.with_packed(in)), device_(device) {
    types_ = op.types(in);
    for (const auto& types : types_) base_.emplace_back(types.size());
    for (size_t i = 0; i < lines_.size(); ++i) {
      for (size_t k = 0; k < base_[i].size(); ++k) base_[i][k] = {static_cast<int>(i), static_cast<int>(k)};
    }
    is_view_.assign(lines_.size(), false);
  }

  RegionPlan plan() {
    find_views();
    make_kernels();
    find_last_uses();
    find_cuts();
    share_sums();
    find_parts();
    place();
    return write();
  }

 private:
  using Key = std::pair<int, int>;  // of the value that owns the memory

  const TensorType& type_of(const RegionValue& v) const { return v.line < 0 ? in_[v.index] : types_[v.line][v.index]; }
  RegionValue base_of(const RegionValue& v) const { return v.line < 0 ? v : base_[v.line][v.index]; }
  static Key key(const RegionValue& v) { return {v.line, v.index}; }
  static size_t bytes_of(const TensorType& type) { return num_elements(type.shape) * size_of(type.dtype); }
  bool is_output(const RegionValue& v) const {
    return std::find(op_.outputs.begin(), op_.outputs.end(), v) != op_.outputs.end();
  }

  // A line whose output is its input has nothing to do, unless the host wants the output in memory of its own.
  void find_views() {
    for (size_t i = 0; i < lines_.size(); ++i) {
      const RegionLine& line = lines_[i];
      const RegionValue out{static_cast<int>(i), 0};
      if (is_output(out) || !line.op->is_view(type_of(line.inputs[0]).shape)) continue;
      is_view_[i] = true;
      base_[i][0] = base_of(line.inputs[0]);
    }
  }

  std::vector<TensorType> types_in(const RegionLine& line) const {
    std::vector<TensorType> types;
    for (const RegionValue& v : line.inputs) types.push_back(type_of(v));
    return types;
  }

  void make_kernels() {
    made_.resize(lines_.size());
    for (size_t i = 0; i < lines_.size(); ++i) {
      if (is_view_[i]) continue;
      const RegionLine& line = lines_[i];
      within(line, [&] {
        made_[i].kernel = make_kernel(*line.entry, *line.op, types_in(line), types_[i], line.backend,
                                      &made_[i].implementation, device_);
      });
    }
  }

  void find_last_uses() {
    for (size_t i = 0; i < lines_.size(); ++i) {
      const int step = static_cast<int>(i);
      for (const RegionValue& v : lines_[i].inputs) last_use_[key(base_of(v))] = step;
    }
  }

  // A part of each row is read where it lies, if whoever reads it can.
  void find_cuts() {
    for (size_t i = 0; i < lines_.size(); ++i) {
      const RegionLine& line = lines_[i];
      const RegionValue out{static_cast<int>(i), 0};
      size_t offset;
      if (is_view_[i] || is_output(out) || !line.op->is_cut(type_of(line.inputs[0]).shape, &offset)) continue;
      const RegionValue from = base_of(line.inputs[0]);
      if (from.line < 0 || is_output(from) || parts_.count(key(from)) || owns_more_than_itself(out)) continue;
      if (!only_read_by_rows(out)) continue;
      is_view_[i] = true;
      parts_[key(out)] = {key(from), offset, type_of(line.inputs[0])};
      last_use_[key(from)] = std::max(last_use_[key(from)], last_use_[key(out)]);
    }
  }

  bool only_read_by_rows(const RegionValue& v) const {
    for (size_t i = 0; i < lines_.size(); ++i) {
      const std::vector<RegionValue>& inputs = lines_[i].inputs;
      for (size_t k = 0; k < inputs.size(); ++k) {
        if (!(base_of(inputs[k]) == v)) continue;
        if (k > 0 || is_view_[i] || !made_[i].kernel->reads_rows()) return false;
      }
    }
    return true;
  }

  // The sum of a convolution is written over its residual, if this is the last that reads it.
  void share_sums() {
    for (size_t i = 0; i < lines_.size(); ++i) {
      const RegionLine& line = lines_[i];
      const int residual = line.op->in_place_input();
      const RegionValue out{static_cast<int>(i), 0};
      if (residual < 0 || is_output(out)) continue;
      const RegionValue from = base_of(line.inputs[residual]);
      if (from.line < 0 || is_output(from)) continue;  // memory of the host
      if (last_use_[key(from)] != static_cast<int>(i)) continue;
      if (bytes_of(type_of(from)) != bytes_of(type_of(out))) continue;
      const auto reads = [&](const RegionValue& v) {
        const auto part = parts_.find(key(v));
        return base_of(v) == from || (part != parts_.end() && part->second.whole == key(from));
      };
      if (std::count_if(line.inputs.begin(), line.inputs.end(), reads) != 1) continue;
      for (auto& bases : base_) {
        for (RegionValue& base : bases) {
          if (base == out) base = from;
        }
      }
      last_use_[key(from)] = std::max(last_use_[key(from)], last_use_[key(out)]);
    }
  }

  // What is only a part of a wider tensor is written there, if its kernel can.
  void find_parts() {
    std::map<Key, int> uses;  // of memory
    for (const RegionLine& line : lines_) {
      for (const RegionValue& v : line.inputs) ++uses[key(base_of(v))];
    }
    for (size_t i = 0; i < lines_.size(); ++i) {
      const RegionLine& line = lines_[i];
      const RegionValue whole{static_cast<int>(i), 0};
      if (is_view_[i] || is_output(whole) || !(base_of(whole) == whole)) continue;
      for (size_t k = 0; k < line.inputs.size(); ++k) {
        const RegionValue v = line.inputs[k];
        size_t offset;
        if (v.line < 0 || is_view_[v.line] || is_output(v) || !(base_of(v) == v) || uses[key(v)] != 1) continue;
        if (owns_more_than_itself(v) || !line.op->is_part(static_cast<int>(k), types_in(line), &offset)) continue;
        if (!made_[v.line].kernel->writes_rows() && !write_rows(v.line)) continue;
        parts_[key(v)] = {key(whole), offset, type_of(whole)};
        first_use_[key(whole)] = std::min(first_use_.emplace(key(whole), static_cast<int>(i)).first->second, v.line);
      }
    }
  }

  // Gives a line a kernel that can write into a wider tensor, if that costs less than to copy its output there.
  bool write_rows(int i) {
    constexpr double kMacsPerByte = 24;  // multiplications in the time in which a byte is copied, on a Zen 4
    const RegionLine& line = lines_[i];
    if (device_ != Device::kCpu || !(line.backend.empty() || line.backend == "auto")) return false;
    const std::vector<TensorType> in = types_in(line);
    double speed = 1;
    for (const Implementation& now : line.entry->cpu) {
      if (now.speed && !std::strcmp(now.name, made_[i].implementation)) speed = now.speed(*line.op, in);
    }
    for (const Implementation& other : line.entry->cpu) {
      if (!other.speed) continue;
      const double lost = line.op->macs(in) * (1 / other.speed(*line.op, in) - 1 / speed);
      if (lost > kMacsPerByte * bytes_of(types_[i][0])) continue;
      std::string why_not;
      const KernelPtr kernel = other.make(*line.op, in, types_[i], &why_not);
      if (!kernel || !kernel->writes_rows()) continue;
      made_[i] = {kernel, other.name};
      return true;
    }
    return false;
  }

  bool owns_more_than_itself(const RegionValue& v) const {
    int values = 0;
    for (const auto& bases : base_) values += std::count(bases.begin(), bases.end(), v);
    return values != 1;
  }

  void place() {
    std::vector<Lifetime> lives;
    std::vector<Key> keys;
    for (size_t i = 0; i < lines_.size(); ++i) {
      for (size_t k = 0; k < base_[i].size(); ++k) {
        const RegionValue v{static_cast<int>(i), static_cast<int>(k)};
        if (!(base_of(v) == v) || is_output(v) || parts_.count(key(v))) continue;
        const auto last = last_use_.find(key(v));
        const int step = static_cast<int>(i);
        const auto first = first_use_.find(key(v));
        lives.push_back({bytes_of(type_of(v)), first == first_use_.end() ? step : first->second,
                         last == last_use_.end() ? step : last->second});
        keys.push_back(key(v));
      }
    }
    const Arena arena = arrange(lives);
    arena_bytes_ = arena.bytes;
    for (size_t i = 0; i < keys.size(); ++i) places_[keys[i]] = {Place::kArena, arena.offsets[i]};
    for (const auto& part : parts_) {
      const TensorType& rows = part.second.rows;
      const Key whole = key(base_of({part.second.whole.first, part.second.whole.second}));
      const auto row_bytes = static_cast<int64_t>(rows.shape.back() * size_of(rows.dtype));
      places_[part.first] = {Place::kArena, places_.at(whole).at + part.second.offset, row_bytes};
    }
    for (size_t i = 0; i < op_.outputs.size(); ++i) places_[key(op_.outputs[i])] = {Place::kOutput, i};
  }

  Place place_of(const RegionValue& v) const {
    const RegionValue base = base_of(v);
    if (base.line >= 0) return places_.at(key(base));
    if (base.index >= num_inputs_) return {Place::kPacked, op_.packed[base.index - num_inputs_].offset};
    return {Place::kInput, static_cast<size_t>(base.index)};
  }

  RegionPlan write() const {
    RegionPlan plan;
    plan.lines = op_.lines;
    plan.arena_bytes = arena_bytes_;
    std::set<int> kept;
    for (size_t i = 0; i < lines_.size(); ++i) {
      if (is_view_[i]) continue;
      const RegionLine& line = lines_[i];
      RegionStep step{&line, made_[i].kernel, made_[i].implementation, types_in(line), types_[i], {}, {}, true};
      for (size_t k = 0; k < line.inputs.size(); ++k) {
        const RegionValue& v = line.inputs[k];
        step.in.push_back(place_of(v));
        if (!line.op->keeps_input(static_cast<int>(k))) continue;
        if (v.line < 0) kept.insert(std::min(v.index, num_inputs_ - 1));
        step.keeps_inputs = step.keeps_inputs && v.line < 0;
      }
      for (size_t k = 0; k < base_[i].size(); ++k) {
        step.out.push_back(place_of({static_cast<int>(i), static_cast<int>(k)}));
      }
      plan.steps.push_back(std::move(step));
    }
    plan.kept_inputs.assign(kept.begin(), kept.end());
    return plan;
  }

  const RegionOp& op_;
  const std::vector<RegionLine>& lines_;
  const int num_inputs_;
  const std::vector<TensorType> in_;  // with the packed parameters
  const Device device_;
  std::vector<std::vector<TensorType>> types_;
  std::vector<std::vector<RegionValue>> base_;  // the value whose memory each value has
  std::vector<bool> is_view_;
  struct Made {
    KernelPtr kernel;
    const char* implementation = "";
  };
  struct Part {
    Key whole;
    size_t offset;
    TensorType rows;  // of the whole
  };
  std::vector<Made> made_;        // of each line that is no view
  std::map<Key, Part> parts_;     // values that are written into another one, or read from it
  std::map<Key, int> first_use_;  // of memory that others write into first
  std::map<Key, int> last_use_;   // of memory, by the value that owns it
  std::map<Key, Place> places_;
  size_t arena_bytes_ = 0;
};

}  // namespace

RegionPlan plan_region(const RegionOp& op, const std::vector<TensorType>& in, Device device) {
  return Planner(op, in, device).plan();
}

}  // namespace mxq
