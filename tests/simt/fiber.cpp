// SPDX-License-Identifier: MIT
#include "fiber.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace simt {
namespace {

constexpr std::size_t stack_bytes = 256 * 1024;

}  // namespace

#if defined(__x86_64__)
// Saves what a call preserves, swaps stacks. (from: where to put the stack pointer, to: the
// other's)
extern "C" void simt_switch(void** from, void* to);
asm(R"(
.text
.globl simt_switch
.type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, .-simt_switch
)");
struct Registers {
  void* stack_pointer = nullptr;

  void prepare(std::byte* stack, void (*entry)()) {
    auto* top = reinterpret_cast<std::uintptr_t*>(stack + stack_bytes);
    *--top = 0;  // return address of the entry: aligns as a call does
    *--top = reinterpret_cast<std::uintptr_t>(entry);
    for (int saved = 0; saved < 6; ++saved) *--top = 0;
    stack_pointer = top;
  }
  static void exchange(Registers& from, Registers& to) {
    simt_switch(&from.stack_pointer, to.stack_pointer);
  }
};
#else
struct Registers {
  ucontext_t context{};

  void prepare(std::byte* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = stack_bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  static void exchange(Registers& from, Registers& to) { swapcontext(&from.context, &to.context); }
};
#endif

struct Fiber::Context {
  std::byte* memory = nullptr;  // a page that faults, then the stack
  std::byte* stack = nullptr;
  Registers registers;
  void (*entry)() = nullptr;
};

namespace {

Registers scheduler;
Registers* running = nullptr;

#if defined(__SANITIZE_ADDRESS__)
void* scheduler_fake_stack = nullptr;
const void* scheduler_stack = nullptr;
std::size_t scheduler_stack_bytes = 0;

void before_leaving(void** fake, const void* stack, std::size_t bytes) {
  __sanitizer_start_switch_fiber(fake, stack, bytes);
}
void arrived(void* fake, const void** from, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake, from, bytes);
}
#endif

void (*next_entry)() = nullptr;

/// First function on a fiber's stack.
void begin() {
#if defined(__SANITIZE_ADDRESS__)
  arrived(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
  next_entry();
}

}  // namespace

Fiber::Fiber() : context_(new Context) {
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* memory = ::mmap(nullptr, stack_bytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  ::mprotect(memory, page, PROT_NONE);
  context_->memory = static_cast<std::byte*>(memory);
  context_->stack = context_->memory + page;
}

Fiber::~Fiber() {
  ::munmap(context_->memory, stack_bytes + static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  delete context_;
}

void Fiber::start(void (*entry)()) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(context_->stack, stack_bytes);  // frames of an abandoned run
#endif
  context_->entry = entry;
  context_->registers.prepare(context_->stack, begin);
}

void Fiber::resume() {
  running = &context_->registers;
  next_entry = context_->entry;
#if defined(__SANITIZE_ADDRESS__)
  before_leaving(&scheduler_fake_stack, context_->stack, stack_bytes);
#endif
  Registers::exchange(scheduler, *running);
#if defined(__SANITIZE_ADDRESS__)
  arrived(scheduler_fake_stack, nullptr, nullptr);
#endif
}

void Fiber::suspend([[maybe_unused]] bool last) {
#if defined(__SANITIZE_ADDRESS__)
  void* own = nullptr;
  before_leaving(last ? nullptr : &own, scheduler_stack, scheduler_stack_bytes);
#endif
  Registers::exchange(*running, scheduler);
#if defined(__SANITIZE_ADDRESS__)
  arrived(own, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

}  // namespace simt
