// Threads that stay, so that a decoding step of two milliseconds can be divided among them dozens of times.

#pragma once

#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>

namespace ttscribe {

// Waits a moment, for what another core does.
inline void pause() {
#ifdef __x86_64__
  _mm_pause();
#else
  asm volatile("isb" ::: "memory");
#endif
}

// One team for the process. Whoever finds it taken works alone, on the thread that called.
class Pool {
 public:
  // The team of this process: a fork has none of its parent's threads.
  static Pool& instance() {
    static std::atomic<Pool*> current{nullptr};
    Pool* pool = current.load(std::memory_order_acquire);
    if (pool == nullptr || pool->process_ != getpid()) {
      static std::mutex making;
      std::lock_guard<std::mutex> lock(making);
      pool = current.load();
      // Never deleted: at the end of the process its threads may still be spinning.
      if (pool == nullptr || pool->process_ != getpid()) current.store(pool = new Pool);
    }
    return *pool;
  }

  bool take() { return taken_.try_lock(); }
  void give_back() { taken_.unlock(); }

  // Calls work(context, index) for every index below count, and returns when all are done. As many threads share them,
  // but one that has not got a core by the time that none is left is not waited for.
  void run(int threads, int64_t count, void (*work)(void*, int64_t), void* context) {
    hire(std::min(threads - 1, kMostHelpers));
    work_ = work;
    context_ = context;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    const uint64_t round = (round_.load(std::memory_order_relaxed) / kRound + 1) * kRound;
    const uint64_t open = round + kOpen + std::min(threads - 1, hired_) * kHelper;
    round_.store(open);
    if (asleep_.load() > 0) round_.notify_all();
    share();
    round_.fetch_and(~kOpen);
    for (int spins = 0; round_.load(std::memory_order_acquire) & kInside; ++spins) relax(spins);
  }

 private:
  Pool() : process_(getpid()) {}

  void hire(int wanted) {
    try {
      for (; hired_ < wanted; ++hired_) std::thread(&Pool::serve, this, hired_, round_.load()).detach();
    } catch (const std::system_error&) {
      // The system gives no more threads: those that there are do the work.
    }
  }

  void serve(uint64_t number, uint64_t seen) {
    for (;;) {
      seen = wait_after(seen);
      if (!enter(number, seen)) continue;
      share();
      round_.fetch_sub(1, std::memory_order_release);
    }
  }

  // Joins the round that was seen, if it still goes on and wants this helper: only then is anything else of it read.
  bool enter(uint64_t number, uint64_t& seen) {
    uint64_t now = round_.load(std::memory_order_acquire);
    for (;;) {
      seen = now;
      if (!(now & kOpen) || number >= now / kHelper % kHelpers) return false;
      if (round_.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel)) return true;
    }
  }

  // What the pool is at, once it is another round than the one that was seen.
  uint64_t wait_after(uint64_t seen) {
    for (int spins = 0; spins < kSpins; ++spins) {
      const uint64_t now = round_.load(std::memory_order_acquire);
      if (now / kRound != seen / kRound) return now;
      pause();
    }
    asleep_.fetch_add(1);
    uint64_t now;
    while ((now = round_.load()) / kRound == seen / kRound) round_.wait(now);
    asleep_.fetch_sub(1);
    return now;
  }

  void share() {
    for (int64_t index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) work_(context_, index);
  }

  // A thread of the team may have lost its core to another process.
  static void relax(int spins) {
    if (spins < kSpins) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }

  static constexpr int kSpins = 4000;
  // Parts of round_: helpers at work, whether more may join, how many are wanted, and the number of the round.
  static constexpr uint64_t kInside = 255, kOpen = 256, kHelper = 512, kHelpers = 256, kRound = kHelper * kHelpers;
  static constexpr int kMostHelpers = 255;

  const pid_t process_;
  std::mutex taken_;
  int hired_ = 0;
  void (*work_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint64_t> round_{0};
  std::atomic<int> asleep_{0};
};

// The threads of one call from outside: the pool's where it is free.
class Team {
 public:
  explicit Team(int threads) : pool_(Pool::instance()), took_(threads > 1 && pool_.take()), threads_(threads) {}
  ~Team() {
    if (took_) pool_.give_back();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Calls work(index) for every index below count.
  template <class Work>
  void run(int64_t count, Work&& work) {
    if (!took_ || count < 2) {
      for (int64_t index = 0; index < count; ++index) work(index);
      return;
    }
    pool_.run(
        threads_, count,
        [](void* context, int64_t index) { (*static_cast<std::remove_reference_t<Work>*>(context))(index); }, &work);
  }

 private:
  Pool& pool_;
  const bool took_;
  const int threads_;
};

}  // namespace ttscribe
