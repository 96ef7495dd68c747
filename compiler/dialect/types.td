// The types of the dialect.

#ifndef WEIR_COMPILER_DIALECT_TYPES_TD_
#define WEIR_COMPILER_DIALECT_TYPES_TD_

include "compiler/dialect/weir_dialect.td"
include "mlir/IR/AttrTypeBase.td"

def Weir_ChoiceType : TypeDef<Weir_Dialect, "Choice"> {
  let mnemonic = "choice";
  let summary = "one of the words that an option allows";
  let description = [{
    The value of a `weir.config` whose default is a word. It exists only at the model level: `weir.case` chooses by it, and
    `weir.apply` hands it on as an option. After `expand` nothing has this type.

    ```mlir
    %kind = weir.config "candidate" default "positive" oneof ["positive", "identity"]
    ```
  }];
}

#endif  // WEIR_COMPILER_DIALECT_TYPES_TD_
