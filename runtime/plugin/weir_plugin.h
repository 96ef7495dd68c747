/*
 * weir_plugin.h: what a Weir plugin is, in plain C.
 *
 * A plugin is a shared library that exports one function, weir_plugin_query(). It can carry
 *   - layers, as IR text (the same text as a .mlir file on the plugin path),
 *   - native kernels, for what IR can't say (weir.custom_call), each with the names of its
 *     gradient and its step,
 *   - tasks, which fill token and target buffers for training.
 *
 * This header needs nothing but a C99 compiler: no Weir library, no MLIR, no C++ type crosses the
 * border. Build with
 *
 *   cc -shared -fPIC -I<where this header is> my_plugin.c -o my_plugin.so
 *
 * and put the file on the plugin path (WEIR_PLUGIN_PATH), or name it with --plugin=my_plugin.so.
 * The smallest plugin:
 *
 *   #include "weir_plugin.h"
 *   static const WeirLayer twice = {sizeof(WeirLayer), "twice",
 *       "weir.layer @twice(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> {\n"
 *       "  %y = arith.addf %x, %x : tensor<?x?x?xf32>\n"
 *       "  weir.return %y : tensor<?x?x?xf32>\n"
 *       "}\n",
 *       "y = 2 x"};
 *   static const WeirLayer* const layers[] = {&twice};
 *   static const WeirPlugin plugin = {sizeof(WeirPlugin), WEIR_PLUGIN_VERSION,
 *       "example", "1.0", "An example.", layers, 1, NULL, 0, NULL, 0};
 *   WEIR_PLUGIN_EXPORT const WeirPlugin* weir_plugin_query(uint32_t host_max_version) {
 *     return host_max_version >= WEIR_PLUGIN_VERSION ? &plugin : NULL;
 *   }
 *
 * Ownership. Everything reached from the returned WeirPlugin belongs to the plugin, is constant,
 * and lives as long as the process: the host never frees it and never unloads a library. The host
 * copies the strings it keeps. Strings are UTF-8, NUL-terminated.
 *
 * Threads. weir_plugin_query() is called once, from one thread. The other functions say for
 * themselves.
 *
 * Errors. A plugin never exits, aborts or throws. Functions that can fail return 0 for success and
 * anything else for failure, after writing a NUL-terminated reason into the buffer they were given.
 *
 * Versions. Every struct starts with its size as the plugin's compiler saw it. New fields are only
 * ever added at the end, and the host treats fields beyond the size as zero; so an old plugin keeps
 * loading until WEIR_PLUGIN_VERSION_MIN passes it. A field whose meaning changes raises
 * WEIR_PLUGIN_VERSION.
 *
 * Change log
 *   1  First version: layers, kernels, tasks.
 *   2  Packed sequences: WeirTask ends with fill_packed. A plugin of version 1 loads as before; one
 *      that needs its documents kept apart asks for a host of version 2 in weir_plugin_query().
 */
#ifndef WEIR_PLUGIN_H_
#define WEIR_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version this header describes, and the oldest one that a host built with this header still
 * loads. */
#define WEIR_PLUGIN_VERSION 2u
#define WEIR_PLUGIN_VERSION_MIN 1u

/* The name of the one exported function, for dlsym(). */
#define WEIR_PLUGIN_QUERY_SYMBOL "weir_plugin_query"

#if defined(__GNUC__)
#define WEIR_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define WEIR_PLUGIN_EXPORT
#endif

/* ---- Layers ---- */

/* A layer as IR text. */
typedef struct WeirLayer {
  size_t struct_size; /* sizeof(WeirLayer) */
  const char* name; /* required: the name that weir.apply uses; letters, digits, '_', '$', '.', '-',
                       no digit first */
  const char* ir;   /* required: a module that defines exactly one weir.layer, @name */
  const char*
      doc; /* a few lines for people: what it computes and where it comes from; may be NULL */
} WeirLayer;

/* ---- Native kernels ---- */

typedef enum WeirElementType {
  WEIR_F32 = 1,
  WEIR_F64 = 2,
  WEIR_BF16 = 3, /* upper half of an f32 */
  WEIR_I32 = 4,
  WEIR_I64 = 5,
  WEIR_I1 = 6 /* one byte per element, 0 or 1 */
} WeirElementType;

/* A dense, row-major tensor. `data` is aligned to 64 bytes. The host owns data and shape; both are
 * valid during the call only. */
typedef struct WeirTensor {
  size_t struct_size;
  void* data;
  int32_t type; /* WeirElementType */
  int32_t rank;
  const int64_t* shape; /* `rank` extents, in elements */
} WeirTensor;

/* One call of a kernel. */
typedef struct WeirKernelCall {
  size_t struct_size;
  const WeirTensor* const* inputs; /* must not be written; never overlap the outputs */
  size_t input_count;
  const WeirTensor* const* outputs; /* every element of `data` must be written */
  size_t output_count;
  const char* options; /* the custom_call's options, as the text of a dictionary; "" if none */
  char* error;         /* where a reason for failure goes, `error_size` bytes with the NUL */
  size_t error_size;
} WeirKernelCall;

/* Returns 0 for success. Called from any thread, also from several threads at once with different
 * tensors. Equal inputs must give equal bits: training promises it. */
typedef int32_t (*WeirKernelFunction)(const WeirKernelCall* call);

/* A native kernel for weir.custom_call. */
typedef struct WeirKernel {
  size_t struct_size;
  const char* name;            /* required; same letters as a layer's name */
  WeirKernelFunction function; /* required */
  /* The kernel of this plugin that computes the gradient: inputs are this kernel's inputs, then one
   * cotangent per output; outputs are one cotangent per floating-point input. NULL: the kernel has
   * no gradient, and training through it is refused. */
  const char* vjp_name;
  /* The kernel of this plugin that advances a state by some tokens: inputs are the inputs of those
   * tokens, then the states; outputs are the outputs of those tokens, then the new states. NULL:
   * the kernel mixes nothing along time. */
  const char* step_name;
} WeirKernel;

/* ---- Tasks ---- */

/* A task: sequences of tokens to learn from, each a function of (seed, index) alone. */
typedef struct WeirTask {
  size_t struct_size;
  const char* name; /* required; same letters as a layer's name */
  const char* doc;  /* may be NULL */
  /* The options and their defaults, as "length = 64, noise = 0.5, hard = true, name = \"x\"":
   * integers, reals, true or false, quoted text; the default's kind is the option's. The host adds
   * "batch" and "eval_sequences", which a task must not have itself. May be NULL: no options. */
  const char* options;

  /* Required. Makes an instance from options ("length = 128": those that differ from the defaults;
   * "" for none) and stores it in *user. An option it doesn't know is an error. `error` has room
   * for `error_size` bytes with the NUL. Called from one thread at a time. What it allocates is the
   * plugin's, until destroy(). */
  int32_t (*create)(const char* options, void** user, char* error, size_t error_size);

  /* Required. Tokens are 0 .. vocabulary-1. Any thread. */
  int64_t (*vocabulary)(void* user);

  /* Required. The number of positions of every sequence, at least 1. Any thread. */
  int64_t (*length)(void* user);

  /* Required. Writes sequence number `index` of the stream `seed`: length() tokens and as many
   * targets, where a target is a token or -1 (no loss at this position). The buffers are the
   * host's. The result depends on (options, seed, index) only. Held-out sequences are a stream of
   * their own, whose seed no training stream has. Called from several threads at once. Returns 0
   * for success. */
  int32_t (*fill)(void* user, uint64_t seed, uint64_t index, int32_t* tokens, int32_t* targets);

  /* Ends an instance; called once per successful create(), when no other call is running. NULL if
   * there is nothing to do. */
  void (*destroy)(void* user);

  /* Since version 2. Not NULL if a sequence holds several documents, packed one behind the other:
   * the host then calls this and never fill() (which must be there, for hosts of version 1). As
   * fill(), and writes length() segment ids: a document is a run of equal ids, and each document of
   * a sequence has an id of its own; any numbers, in any order. The model treats each document as
   * if it were alone. The target of a document's last token must not be of the next document: -1
   * where there is nothing to predict. What is padded is a document too, with targets of -1. */
  int32_t (*fill_packed)(void* user, uint64_t seed, uint64_t index, int32_t* tokens,
                         int32_t* targets, int32_t* segments);
} WeirTask;

/* ---- The plugin ---- */

typedef struct WeirPlugin {
  size_t struct_size;       /* sizeof(WeirPlugin) */
  uint32_t version;         /* WEIR_PLUGIN_VERSION of the header that the plugin was built with */
  const char* name;         /* required; same letters as a layer's name */
  const char* version_text; /* the plugin's own version, for people; may be NULL */
  const char* description;  /* one line; may be NULL */

  const WeirLayer* const*
      layers; /* `layer_count` pointers, none NULL; may be NULL if the count is 0; the same below */
  size_t layer_count;
  const WeirKernel* const* kernels;
  size_t kernel_count;
  const WeirTask* const* tasks;
  size_t task_count;
} WeirPlugin;

/* The one exported function. `host_max_version` is the newest version the host knows. Returns NULL
 * if the plugin needs a newer host; otherwise a WeirPlugin with version <= host_max_version. */
typedef const WeirPlugin* (*WeirPluginQueryFunction)(uint32_t host_max_version);
WEIR_PLUGIN_EXPORT const WeirPlugin* weir_plugin_query(uint32_t host_max_version);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* WEIR_PLUGIN_H_ */
