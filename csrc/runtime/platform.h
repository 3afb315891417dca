/* One name for what POSIX systems and Windows name differently: locks, condition variables, threads, a
   clock, a pause inside a waiting loop. Include it first: it asks the system headers for more than
   C11 has. Atomics are those of C11 on every system. */

#ifndef ERNIEM_PLATFORM_H
#define ERNIEM_PLATFORM_H

#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* pthread_sigmask, clock_gettime, posix_memalign, madvise */
#endif

#include <stdatomic.h>
#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define ERNIEM_THREAD_LOCAL __declspec(thread)
#if defined(_M_X64)
#define ERNIEM_PREFETCH(address) _mm_prefetch((const char *)(address), _MM_HINT_T1)
#define ERNIEM_PREFETCH_TO_WRITE(address) _mm_prefetch((const char *)(address), _MM_HINT_T0)
#else
#define ERNIEM_PREFETCH(address) __prefetch(address)
#define ERNIEM_PREFETCH_TO_WRITE(address) __prefetch(address)
#endif
#else
#define ERNIEM_THREAD_LOCAL _Thread_local
#define ERNIEM_PREFETCH(address) __builtin_prefetch((address), 0, 2)
#define ERNIEM_PREFETCH_TO_WRITE(address) __builtin_prefetch((address), 1, 3)
#endif

#if defined(_WIN32)

#include <process.h>
#include <windows.h>

typedef SRWLOCK erniem_lock;
#define ERNIEM_LOCK_INIT SRWLOCK_INIT
static inline void erniem_lock_take(erniem_lock *lock) { AcquireSRWLockExclusive(lock); }
static inline void erniem_lock_free(erniem_lock *lock) { ReleaseSRWLockExclusive(lock); }
static inline void erniem_lock_renew(erniem_lock *lock) { InitializeSRWLock(lock); }

typedef CONDITION_VARIABLE erniem_condition;
#define ERNIEM_CONDITION_INIT CONDITION_VARIABLE_INIT
/* Free the lock, sleep, take the lock; it may also return for no reason. */
static inline void erniem_condition_wait(erniem_condition *condition, erniem_lock *lock)
{
    SleepConditionVariableSRW(condition, lock, INFINITE, 0);
}
static inline void erniem_condition_wake(erniem_condition *condition)
{
    WakeAllConditionVariable(condition);
}
static inline void erniem_condition_renew(erniem_condition *condition)
{
    InitializeConditionVariable(condition);
}

#define ERNIEM_THREAD_MAIN static unsigned __stdcall
/* Start a thread that nobody waits for; 0, or -1 where the system gives none. */
static inline int erniem_thread_start(unsigned(__stdcall *run)(void *), void *argument)
{
    const uintptr_t thread = _beginthreadex(NULL, 0, run, argument, 0, NULL);
    return thread != 0 && CloseHandle((HANDLE)thread) ? 0 : -1;
}

static inline int64_t erniem_nanoseconds(void)
{
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    return (int64_t)((double)ticks.QuadPart * 1e9 / (double)per_second.QuadPart);
}

static inline void erniem_pause(void) { YieldProcessor(); }

/* Windows has no fork. */
typedef char erniem_once;
#define ERNIEM_ONCE_INIT 0
static inline void erniem_watch_forks(erniem_once *once, void (*watch)(void))
{
    (void)once;
    (void)watch;
}
static inline void erniem_in_child(void (*handler)(void)) { (void)handler; }
static inline void erniem_around_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)before;
    (void)parent;
    (void)child;
}

#else

#include <pthread.h>
#include <signal.h>
#include <time.h>

typedef pthread_mutex_t erniem_lock;
#define ERNIEM_LOCK_INIT PTHREAD_MUTEX_INITIALIZER
static inline void erniem_lock_take(erniem_lock *lock) { pthread_mutex_lock(lock); }
static inline void erniem_lock_free(erniem_lock *lock) { pthread_mutex_unlock(lock); }
static inline void erniem_lock_renew(erniem_lock *lock) { pthread_mutex_init(lock, NULL); }

typedef pthread_cond_t erniem_condition;
#define ERNIEM_CONDITION_INIT PTHREAD_COND_INITIALIZER
/* Free the lock, sleep, take the lock; it may also return for no reason. */
static inline void erniem_condition_wait(erniem_condition *condition, erniem_lock *lock)
{
    pthread_cond_wait(condition, lock);
}
static inline void erniem_condition_wake(erniem_condition *condition)
{
    pthread_cond_broadcast(condition);
}
static inline void erniem_condition_renew(erniem_condition *condition)
{
    pthread_cond_init(condition, NULL);
}

#define ERNIEM_THREAD_MAIN static void *
/* Start a thread that nobody waits for; 0, or -1 where the system gives none. The thread blocks all
   signals, so that they reach Python's threads. */
static inline int erniem_thread_start(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int status = pthread_create(&thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == 0 && pthread_detach(thread) == 0 ? 0 : -1;
}

static inline int64_t erniem_nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void erniem_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Call `watch` once in this process: it says by erniem_in_child what the child of a fork does
   before anything else, or by erniem_around_fork also what the parent does before and after it. */
typedef pthread_once_t erniem_once;
#define ERNIEM_ONCE_INIT PTHREAD_ONCE_INIT
static inline void erniem_watch_forks(erniem_once *once, void (*watch)(void))
{
    pthread_once(once, watch);
}
static inline void erniem_in_child(void (*handler)(void)) { pthread_atfork(NULL, NULL, handler); }
static inline void erniem_around_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    pthread_atfork(before, parent, child);
}

#endif
#endif
