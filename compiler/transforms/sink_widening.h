// Conversions to a wider type move below slices and reshapes and into the steps of recurrences, so
// that what is sliced is what lies in memory, and meet the arithmetic that reads them.

#ifndef WEIR_COMPILER_TRANSFORMS_SINK_WIDENING_H_
#define WEIR_COMPILER_TRANSFORMS_SINK_WIDENING_H_

#include "mlir/IR/PatternMatch.h"

namespace weir {

/// view(extf(x)) becomes extf(view(x)), for `arith.extf` on tensors, and so for the inputs of a
/// recurrence.
void populateSinkWideningPatterns(mlir::RewritePatternSet& patterns);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_SINK_WIDENING_H_
