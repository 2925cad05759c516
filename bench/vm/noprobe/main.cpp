// noprobe PROGRAM ARGUMENTS... starts a program for which, and for all that it starts, setting SO_KEEPALIVE succeeds
// and does nothing.
//
// Servers have the kernel ask every 15 s whether an idle peer still lives. For half a million connections these are
// 33,000 probes a second, a burden that an emulated processor is spared. The memory of a socket does not depend on it.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>

namespace {

constexpr unsigned short kLoad = BPF_LD | BPF_W | BPF_ABS;
constexpr unsigned short kIfEqual = BPF_JMP | BPF_JEQ | BPF_K;
constexpr unsigned short kReturn = BPF_RET | BPF_K;

// The lower half of an argument: on amd64 it comes first.
constexpr unsigned argument(unsigned index) { return offsetof(seccomp_data, args) + index * sizeof(__u64); }

// setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, ...): whatever differs jumps to the end.
sock_filter filter[] = {
    {kLoad, 0, 0, offsetof(seccomp_data, nr)},
    {kIfEqual, 0, 5, __NR_setsockopt},
    {kLoad, 0, 0, argument(1)},
    {kIfEqual, 0, 3, SOL_SOCKET},
    {kLoad, 0, 0, argument(2)},
    {kIfEqual, 0, 1, SO_KEEPALIVE},
    {kReturn, 0, 0, SECCOMP_RET_ERRNO},  // error 0: it succeeds
    {kReturn, 0, 0, SECCOMP_RET_ALLOW},
};

}  // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: noprobe PROGRAM ARGUMENTS...\n");
    return 2;
  }
  const sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    std::perror("noprobe: seccomp");
    return 1;
  }
  execvp(argv[1], argv + 1);
  std::perror(argv[1]);
  return 1;
}
