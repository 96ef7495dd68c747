#!/usr/bin/env bash
# A compiled program against the compiler's own `weir run`: by the runner on every instruction set, with its state through
# files, and from C, built as a stranger would, with a header, a library and the page that explains them.
#   deploy_test.sh WEIR WEIR_RUN TENSORS.py MODEL C_OUTPUTS.c PAGE.md WEIR.h LIBWEIR_RUNTIME.so PRECISION TOLERANCE
set -euo pipefail
weir=$PWD/$1 weir_run=$PWD/$2 model=$PWD/$4 precision=$9 tolerance=${10}
tensors() { python3 "$root/$tensors_py" "$@"; }
root=$PWD tensors_py=$3
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/deploy.XXXXXX")
cp "$5" "$work/c_outputs.c"
awk '/^```c$/ {inside = 1; next} /^```$/ {inside = 0} inside' "$6" > "$work/next_tokens.c"
cp "$7" "$8" "$work/"
cd "$work"

expect_error() {  # MESSAGE COMMAND...
  local message=$1
  shift
  if "$@" > output 2>&1; then echo "should have failed: $*" >&2; exit 1; fi
  grep -qF "$message" output || { echo "no '$message' in:" >&2; cat output >&2; exit 1; }
}

length=75 split=29  # neither a multiple of the chunk
tensors tokens tokens.safetensors 2 $length 23
tensors slice tokens.safetensors head.safetensors 0 $split
tensors slice tokens.safetensors tail.safetensors $split $length
"$weir" init "$model" --seed=3 --out=params.safetensors
"$weir" init "$model" --seed=4 --out=other.safetensors
whole() {  # INPUTS OUTPUTS: what the model makes of all tokens at once
  "$weir" run "$model" --precision="$precision" --params=params.safetensors --inputs="$1" --outputs=run.safetensors
  tensors only run.safetensors "$2" output
}
whole tokens.safetensors whole.safetensors
tensors slice whole.safetensors whole_tail.safetensors $split $length
compile() { "$weir" compile "$model" --entry=stream --emit=program --precision="$precision" --context=128 "$@"; }
compile --batch=2 --chunk=16 --isa=avx2,avx512,amx --out=model.weir
stream() { "$weir_run" "$@" --params=params.safetensors --stream; }

# Every instruction set that this machine has.
for isa in avx2 avx512 amx; do
  if ! stream model.weir --isa=$isa --inputs=tokens.safetensors --all_outputs --outputs=$isa.safetensors > report 2>&1; then
    grep -q "this machine can't run $isa code" report || { cat report >&2; exit 1; }
    echo "skipped: this machine lacks $isa"
    continue
  fi
  grep -q ", $isa\$" report
  tensors compare whole.safetensors $isa.safetensors "$tolerance"
done

# A machine with less than this one.
stream model.weir --machine_isa=avx2 --inputs=tokens.safetensors > report
grep -q ', avx2$' report
compile --batch=2 --chunk=0 --isa=amx --out=amx.weir
expect_error 'the program has code for amx; this machine runs avx2' \
  stream amx.weir --machine_isa=avx2 --inputs=tokens.safetensors
expect_error "this machine can't run amx code; it can run avx2" \
  stream model.weir --machine_isa=avx2 --isa=amx --inputs=tokens.safetensors

# The state through a file, to a program of another chunk and other code.
stream model.weir --inputs=head.safetensors --save_state=state.safetensors
compile --batch=2 --chunk=7 --isa=avx2 --out=avx2.weir
stream avx2.weir --inputs=tail.safetensors --state=state.safetensors --all_outputs --outputs=tail_out.safetensors
tensors compare whole_tail.safetensors tail_out.safetensors "$tolerance"
expect_error 'these states were made with other parameters' \
  "$weir_run" model.weir --params=other.safetensors --stream --inputs=tail.safetensors --state=state.safetensors
compile --batch=1 --chunk=16 --isa=avx2 --out=single.weir
tensors list prompt.safetensors 3 1 4 1 5 9 2 6 5 3 5 8 9 7 9 3 2 3 8
expect_error '; the program has ' stream single.weir --inputs=prompt.safetensors --state=state.safetensors
expect_error 'this is no file of states' stream model.weir --inputs=tail.safetensors --state=params.safetensors
expect_error 'prompt.safetensors: the model wants tokens: tensor<2x1xi32>' stream model.weir --inputs=prompt.safetensors

# From C.
cc=$(command -v clang-22 || command -v clang || command -v cc)
for program in next_tokens c_outputs; do
  "$cc" -std=c99 -pedantic -Wall -Wextra -Werror $program.c -I. -L. -lweir_runtime -Wl,-rpath,'$ORIGIN' -o $program
  if ldd $program | grep -E 'libLLVM|libMLIR|not found'; then exit 1; fi
done
tensors raw tokens.safetensors tokens.raw
./c_outputs model.weir params.safetensors tokens.raw $length $split out.raw
tensors join_c_outputs out.raw 2 $length $split 23 c_out.safetensors
tensors compare whole.safetensors c_out.safetensors "$tolerance"

# The page's program: each token that it prints is what the whole sequence says is likeliest there.
prompt=(3 1 4 1 5 9 2 6 5 3 5 8 9 7 9 3 2 3 8)
mapfile -t next < <(./next_tokens single.weir params.safetensors 20 "${prompt[@]}")
[ ${#next[@]} = 20 ]
tensors list all.safetensors "${prompt[@]}" "${next[@]}"
whole all.safetensors all_out.safetensors
tensors greedy all_out.safetensors ${#prompt[@]} "${next[@]}"
expect_error 'absent.weir: cannot open' ./next_tokens absent.weir params.safetensors 1 1
