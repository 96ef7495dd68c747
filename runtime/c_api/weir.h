/*
 * weir.h: runs compiled programs, in plain C.
 *
 * A program is a file that `weir compile MODEL --emit=program` wrote. It holds code for one or more
 * instruction sets and no parameters; those come from a safetensors file. A session is one stream
 * through the model: it reads tokens and carries a state from call to call, in memory that doesn't
 * grow. A program can have any number of sessions; they share its code and parameters.
 *
 *   weir_program* program;
 *   weir_session* session;
 *   if (weir_program_load("model.weir", NULL, &program) != WEIR_OK ||
 *       weir_program_load_parameters(program, "best.safetensors") != WEIR_OK ||
 *       weir_session_create(program, NULL, &session) != WEIR_OK) {
 *     fprintf(stderr, "%s\n", weir_last_error());
 *   }
 *   weir_const_buffer in = {&token, sizeof token};
 *   weir_buffer out = {logits, sizeof logits};
 *   weir_session_step(session, &in, 1, &out, 1);
 *
 * This header needs nothing but a C99 compiler. Link with -lweir_runtime; neither MLIR nor LLVM is
 * in the process.
 *
 * Ownership. What a function hands out through a pointer to a pointer is the caller's, to be freed
 * with the _free function of its type. Strings and shapes that are handed out belong to the
 * program and live until it is freed. Buffers and strings that are handed in are the caller's and
 * not used after the call. A program may be freed before its sessions: they keep what they need.
 *
 * Threads. A session is used by one thread at a time, not always the same one; a call while another
 * is under way is refused with WEIR_BUSY. Different sessions may be used at once, those of one
 * program too. The parameters of a program change only while none of its sessions runs (WEIR_BUSY
 * otherwise); its other functions may be called at any time from any thread. _free functions are
 * called once, when nothing else uses the handle. Kernels use as many threads as the session's
 * options say, beside the caller's own; many sessions at once are quickest with one each.
 *
 * Errors. Functions that can fail return WEIR_OK or a reason, and weir_last_error() then says more.
 * After an error nothing has changed, unless the function says otherwise. Null handles and null
 * results are WEIR_INVALID_ARGUMENT; functions that return a value return 0 or NULL for them.
 * Nothing exits, aborts or throws.
 *
 * Versions. Structs that may grow begin with their size as the caller's compiler saw it: fields are
 * only ever added at the end, and what an older caller lacks counts as zero. Functions don't change
 * their meaning; WEIR_API_VERSION counts additions.
 *
 * Change log
 *   1  First version.
 */
#ifndef WEIR_RUNTIME_C_API_WEIR_H_
#define WEIR_RUNTIME_C_API_WEIR_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#else
#define WEIR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_API_VERSION 1

/* The version of the library, which may be newer than the header's. */
WEIR_API uint32_t weir_api_version(void);

typedef int32_t weir_status;
enum {
  WEIR_OK = 0,
  WEIR_INVALID_ARGUMENT = 1,    /* the call can't be right, whatever the files hold */
  WEIR_NOT_FOUND = 2,           /* no such file, tensor or entry point; no code for this machine */
  WEIR_FAILED_PRECONDITION = 3, /* not with this program or file, or not yet */
  WEIR_DATA_LOSS = 4,           /* a truncated or corrupt file */
  WEIR_OUT_OF_MEMORY = 5,
  WEIR_BUSY = 6,    /* another thread is using it */
  WEIR_INTERNAL = 7 /* a mistake in Weir, or an error of the system */
};

/*
 * What went wrong in the last call of this thread that failed, for people; "" if none has. Never
 * null. Valid until the thread's next call that fails.
 */
WEIR_API const char* weir_last_error(void);

/* Element types. The values are those of program files. */
enum {
  WEIR_F64 = 0,
  WEIR_F32 = 1,
  WEIR_BF16 = 2,
  WEIR_I64 = 3,
  WEIR_I32 = 4,
  WEIR_U8 = 5,
  WEIR_BOOL = 6 /* one byte, 0 or 1 */
};

/* ---- Programs ---- */

typedef struct weir_program weir_program;

typedef struct weir_program_options {
  size_t struct_size; /* sizeof(weir_program_options) */
  /* Which code to use: "avx2", "avx512" or "amx"; NULL for the best that program and machine have.
   */
  const char* isa;
  /* If not NULL, it is as if the machine had nothing beyond this level: for tests. */
  const char* machine_isa;
} weir_program_options;

/* Reads a program and loads its code. `options` may be NULL. *program is NULL after an error. */
WEIR_API weir_status weir_program_load(const char* path, const weir_program_options* options,
                                       weir_program** program);

/* The same for a program in memory, which isn't needed after the call. */
WEIR_API weir_status weir_program_load_bytes(const void* bytes, size_t size,
                                             const weir_program_options* options,
                                             weir_program** program);

/* NULL is fine. */
WEIR_API void weir_program_free(weir_program* program);

/*
 * Reads all parameters from a safetensors file; other tensors in it are passed over. All sessions
 * of the program see them, and states that they carry are then those of the old ones: reset them.
 * After an error the program has no parameters.
 */
WEIR_API weir_status weir_program_load_parameters(weir_program* program, const char* path);

/* Untrained parameters, as training with this seed begins. */
WEIR_API weir_status weir_program_init_parameters(weir_program* program, int64_t seed);

/* "avx2", "avx512" or "amx": the code that was chosen. */
WEIR_API const char* weir_program_isa(const weir_program* program);

/* What the compiler noted under `key`, or NULL. */
WEIR_API const char* weir_program_metadata(const weir_program* program, const char* key);

/* Sequences that a session reads side by side. */
WEIR_API int64_t weir_program_batch(const weir_program* program);

/* How many tokens weir_session_prefill takes at once; 0 if one by one. */
WEIR_API int64_t weir_program_prefill_size(const weir_program* program);

/* Bytes of a session's states. */
WEIR_API int64_t weir_program_state_bytes(const weir_program* program);

/* A dense, row-major tensor: batch x time x ..., here with a time of 1. */
typedef struct weir_tensor_info {
  size_t struct_size; /* sizeof(weir_tensor_info), set by the caller */
  const char* name;
  int32_t type; /* WEIR_F32, ... */
  int32_t rank;
  const int64_t* shape;
  size_t bytes; /* of one token of each sequence */
} weir_tensor_info;

/* Inputs and outputs, in the order in which steps take them. */
WEIR_API size_t weir_program_input_count(const weir_program* program);
WEIR_API size_t weir_program_output_count(const weir_program* program);
WEIR_API weir_status weir_program_input(const weir_program* program, size_t index,
                                        weir_tensor_info* info);
WEIR_API weir_status weir_program_output(const weir_program* program, size_t index,
                                         weir_tensor_info* info);

/* ---- Sessions ---- */

typedef struct weir_session weir_session;

typedef struct weir_session_options {
  size_t struct_size; /* sizeof(weir_session_options) */
  int32_t threads;    /* 0: as many as the process may use cores */
} weir_session_options;

/* Memory that is handed in and out. These two structs never change. */
typedef struct weir_const_buffer {
  const void* data;
  size_t bytes;
} weir_const_buffer;
typedef struct weir_buffer {
  void* data;
  size_t bytes;
} weir_buffer;

/*
 * A session at its beginning (as after weir_session_reset). `options` may be NULL.
 * WEIR_FAILED_PRECONDITION if the program has no parameters yet. *session is NULL after an error.
 */
WEIR_API weir_status weir_session_create(const weir_program* program,
                                         const weir_session_options* options,
                                         weir_session** session);

/* NULL is fine. */
WEIR_API void weir_session_free(weir_session* session);

/* Forgets what was read. */
WEIR_API weir_status weir_session_reset(weir_session* session);

/*
 * Reads one token of each sequence. `inputs` are as many as the program has, each of exactly the
 * bytes that weir_program_input says; so are `outputs`, which are overwritten, or NULL and 0 if
 * nobody needs them.
 */
WEIR_API weir_status weir_session_step(weir_session* session, const weir_const_buffer* inputs,
                                       size_t input_count, const weir_buffer* outputs,
                                       size_t output_count);

/* Flags of weir_session_prefill. */
enum { WEIR_ALL_OUTPUTS = 1 };

/*
 * Reads `tokens` tokens of each sequence, at least 1: inputs are batch x tokens x ... Outputs are
 * those of the last token (batch x 1 x ...), or with WEIR_ALL_OUTPUTS of all (batch x tokens x
 * ...).
 */
WEIR_API weir_status weir_session_prefill(weir_session* session, int64_t tokens,
                                          const weir_const_buffer* inputs, size_t input_count,
                                          uint32_t flags, const weir_buffer* outputs,
                                          size_t output_count);

/* Tokens of each sequence that were read since the beginning. */
WEIR_API int64_t weir_session_position(const weir_session* session);

/* Writes the states to a safetensors file, whole or not at all. */
WEIR_API weir_status weir_session_save_state(weir_session* session, const char* path);

/*
 * Goes on where weir_session_save_state was called, maybe in another process and with a program of
 * other instruction sets or another prefill size. States of another model, made with other
 * parameters or for another batch are WEIR_FAILED_PRECONDITION.
 */
WEIR_API weir_status weir_session_load_state(weir_session* session, const char* path);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_RUNTIME_C_API_WEIR_H_ */
