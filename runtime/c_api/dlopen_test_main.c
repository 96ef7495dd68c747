/*
 * The library opened at run time, as a scripting language does it: its symbols and those of what it
 * needs are hidden from others, and the program's kernels still find OpenMP.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "runtime/c_api/weir.h"

/* ISO C knows no conversion of a pointer to data into one to a function. */
static int find(void* library, const char* name, void* function) {
  void* symbol = dlsym(library, name);
  memcpy(function, &symbol, sizeof symbol);
  return symbol != NULL;
}

int main(int argc, char** argv) {
  void* library;
  weir_status (*load)(const char*, const weir_program_options*, weir_program**);
  weir_status (*parameters)(weir_program*, const char*);
  void (*free_program)(weir_program*);
  const char* (*last_error)(void);
  weir_program* program;
  if (argc != 2 || (library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL)) == NULL) {
    fprintf(stderr, "cannot open the library: %s\n", dlerror());
    return 1;
  }
  if (!find(library, "weir_program_load", &load) ||
      !find(library, "weir_program_load_parameters", &parameters) ||
      !find(library, "weir_program_free", &free_program) ||
      !find(library, "weir_last_error", &last_error)) {
    return 1;
  }
  if (load("toy.weir", NULL, &program) != WEIR_OK ||
      parameters(program, "a.safetensors") != WEIR_OK) {
    fprintf(stderr, "%s\n", last_error());
    return 1;
  }
  free_program(program);
  return 0;
}
