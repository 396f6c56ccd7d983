// A bounded, thread-safe, least-recently-used map. Values are shared: an evicted value lives on where it is still in
// use.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace mxq {

template <class Key, class Value, class Hash = std::hash<Key>>
class LruCache {
 public:
  explicit LruCache(size_t max_weight) : max_weight_(max_weight) {}

  // Returns the cached value or makes it. `make()` returns {std::shared_ptr<const Value>, weight} and runs unlocked,
  // so two threads may make the same value once each; the first one stored is returned to both.
  template <class Make>
  std::shared_ptr<const Value> get(const Key& key, Make make) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      auto it = index_.find(key);
      if (it != index_.end()) {
        order_.splice(order_.begin(), order_, it->second);
        return it->second->value;
      }
    }
    std::pair<std::shared_ptr<const Value>, size_t> made = make();
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = index_.find(key);
    if (it != index_.end()) return it->second->value;
    order_.push_front(Entry{key, made.first, made.second});
    index_[key] = order_.begin();
    weight_ += made.second;
    while (weight_ > max_weight_ && order_.size() > 1) {
      weight_ -= order_.back().weight;
      index_.erase(order_.back().key);
      order_.pop_back();
    }
    return made.first;
  }

  size_t weight() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return weight_;
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<const Value> value;
    size_t weight;
  };
  mutable std::mutex mutex_;
  size_t max_weight_;
  size_t weight_ = 0;
  std::list<Entry> order_;
  std::unordered_map<Key, typename std::list<Entry>::iterator, Hash> index_;
};

}  // namespace mxq
