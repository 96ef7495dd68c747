#!/usr/bin/env bash
# The page "from the paper to a trained model", as a reader follows it, with a short training on a text made here.
#   from_paper_test.sh WEIR WEIR_RUN WEIR_PLUGIN.h RUN_PAGE.py PAGE.md
set -euo pipefail
compiler=$PWD/$1 runner=$PWD/$2 header=$PWD/$3 run_page=$PWD/$4 page=$PWD/$5
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/from_paper.XXXXXX")
mkdir "$work/bin" "$work/reader"
cd "$work/reader"

cat > "$work/bin/weir" << END
#!/usr/bin/env bash
if [ "\$1" = train ]; then set -- "\$@" --steps=12; fi
exec "$compiler" "\$@"
END
chmod +x "$work/bin/weir"
ln -s "$runner" "$work/bin/weir_run"
export PATH=$work/bin:$PATH WEIR=${header%/runtime/plugin/*}

# The characters of the real one.
for i in $(seq 100); do
  printf '%s\n' "ROMEO: $i" "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz !\$&',-.3:;?"
done | tr -d 0124-9 > shakespeare.txt
python3 "$run_page" "$page"
