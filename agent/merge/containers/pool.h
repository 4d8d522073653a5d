// Pool and Ref: objects that come and go with every exchange. A view is born and dies within
// milliseconds, tens of thousands of times a second and hundreds at a time, which is what a general
// allocator does worst; here a freed object's memory goes to the next one. Ref counts without
// atomics, since merge has one thread. Private to this room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace weft::merge {

// Threads: one. Owns: the memory of freed objects, at most `max_free` of them; outlives every
// object that it made.
template <typename T>
class Pool {
 public:
  explicit Pool(size_t max_free) : max_free_(max_free) {}
  ~Pool() {
    while (free_ != nullptr) ::operator delete(std::exchange(free_, free_->next));
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  T* New() {
    if (free_ == nullptr) return new (::operator new(sizeof(T))) T();
    void* memory = std::exchange(free_, free_->next);
    --free_count_;
    return new (memory) T();
  }
  void Delete(T* object) {
    object->~T();
    if (free_count_ == max_free_) return ::operator delete(object);
    free_ = new (object) Free{free_};
    ++free_count_;
  }

 private:
  struct Free {
    Free* next;
  };
  static_assert(sizeof(T) >= sizeof(Free) && alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);

  const size_t max_free_;
  size_t free_count_ = 0;
  Free* free_ = nullptr;
};

// What a Ref can point to.
template <typename T>
struct Counted {
  Pool<T>* pool = nullptr;
  uint32_t references = 0;
};

// Threads: one. A share in an object; the last one gives it back to its pool.
template <typename T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}
  static Ref Make(Pool<T>& pool) {
    Ref made;
    made.object_ = pool.New();
    made.object_->pool = &pool;
    made.object_->references = 1;
    return made;
  }
  Ref(const Ref& other) : object_(other.object_) {
    if (object_ != nullptr) ++object_->references;
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr && --object_->references == 0) object_->pool->Delete(object_);
  }

  void reset() { *this = Ref(); }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  bool operator==(const Ref&) const = default;
  bool operator==(std::nullptr_t) const { return object_ == nullptr; }

 private:
  T* object_ = nullptr;
};

}  // namespace weft::merge
