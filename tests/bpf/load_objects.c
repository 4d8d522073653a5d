// Loads each program of each object by itself and says what the kernel made of it. In C and without
// anything of weft, so that it is easily built for another architecture.
//   load_objects NAME.bpf.o…   prints "loaded NAME/program" or "refused NAME/program: errno" with
//                              the end of the verifier's words
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { WORDS_SHOWN = 1500 };
static char words[1 << 21];  // of libbpf and the verifier

static int KeepWords(enum libbpf_print_level level, const char* format, va_list arguments) {
  const size_t used = strlen(words);
  if (level == LIBBPF_DEBUG || used > sizeof words / 2) return 0;
  return vsnprintf(words + used, sizeof words - used, format, arguments);
}

// Leaves only the program `wanted`, counted from 0; null when there are not so many.
static const char* Choose(struct bpf_object* object, int wanted) {
  const char* chosen = NULL;
  struct bpf_program* program;
  int i = 0;
  bpf_object__for_each_program(program, object) {
    bpf_program__set_autoload(program, i == wanted);
    if (i++ == wanted) chosen = bpf_program__name(program);
  }
  return chosen;
}

static bool LoadOne(const char* file, const char* name, int wanted) {
  struct bpf_object* object = bpf_object__open(file);
  if (object == NULL) {
    printf("refused %s/: cannot be opened\n", name);
    return false;
  }
  const char* program = Choose(object, wanted);
  if (program != NULL) {
    for (int i = 0; i < 2; ++i) {
      const char* per_cpu[] = {"rings", "scratch"};
      struct bpf_map* map = bpf_object__find_map_by_name(object, per_cpu[i]);
      if (map != NULL) bpf_map__set_max_entries(map, libbpf_num_possible_cpus());
    }
    words[0] = 0;
    const int error = bpf_object__load(object);
    const size_t length = strlen(words);
    if (error == 0) {
      printf("loaded %s/%s\n", name, program);
    } else {
      printf("refused %s/%s: %d\n%s\n", name, program, -error,
             length > WORDS_SHOWN ? words + length - WORDS_SHOWN : words);
    }
    fflush(stdout);
  }
  bpf_object__close(object);
  return program != NULL;
}

int main(int argc, char** argv) {
  struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  libbpf_set_print(KeepWords);
  for (int i = 1; i < argc; ++i) {
    const char* slash = strrchr(argv[i], '/');
    char name[64];
    snprintf(name, sizeof name, "%s", slash == NULL ? argv[i] : slash + 1);
    name[strcspn(name, ".")] = 0;
    for (int program = 0; LoadOne(argv[i], name, program); ++program) {
    }
  }
  return 0;
}
