// RUN: weir-opt %s --weir-step-form --split-input-file --verify-diagnostics

func.func @reverse(%a: tensor<2x3x8xf32> {weir.input = "a"}, %start: tensor<i64> {weir.start}) -> tensor<2x3x8xf32> {
  // expected-error@+1 {{'weir.scan' op looks ahead: it has no step form}}
  %h, %last = weir.scan(%a, %a) reverse : (tensor<2x3x8xf32>, tensor<2x3x8xf32>) -> (tensor<2x3x8xf32>, tensor<2x8xf32>)
  return %h : tensor<2x3x8xf32>
}

// -----
func.func @full(%a: tensor<2x3x8xf32> {weir.input = "a"}, %start: tensor<i64> {weir.start}) -> tensor<2x3x8xf32> {
  // expected-error@+1 {{'weir.attention' op looks ahead: it has no step form}}
  %o = weir.attention %a, %a, %a kernel("softmax") window("full") {sizes = affine_map<() -> ()>} : (tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>) -> tensor<2x3x8xf32>
  return %o : tensor<2x3x8xf32>
}

// -----
// expected-error@+1 {{has no 'weir.start' to go on from}}
func.func @no_start(%a: tensor<2x3x8xf32> {weir.input = "a"}) -> tensor<2x3x8xf32> {
  return %a : tensor<2x3x8xf32>
}

// -----
// expected-error@+1 {{must be specialized before it gets a step form}}
func.func @open(%a: tensor<?x?x8xf32> {weir.input = "a"}, %start: tensor<i64> {weir.start}) -> tensor<?x?x8xf32> {
  return %a : tensor<?x?x8xf32>
}

// -----
func.func @tokens(%a: tensor<2x3x8xf32> {weir.input = "a"}, %b: tensor<2x8xf32> {weir.input = "b"}, %start: tensor<i64> {weir.start}) -> tensor<2x3x8xf32> {
  // expected-error@+1 {{starts from what the first tokens are: it has no step form}}
  %h, %last = weir.scan(%a, %a) from %b : (tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x8xf32>) -> (tensor<2x3x8xf32>, tensor<2x8xf32>)
  return %h : tensor<2x3x8xf32>
}

// -----
// expected-error@+1 {{has a state 'stream.start', which is the stream's own}}
func.func @taken(%a: tensor<2x3x8xf32> {weir.input = "a"}, %s: tensor<2x8xf32> {weir.state = "stream.start"}, %start: tensor<i64> {weir.start})
    -> (tensor<2x3x8xf32>, tensor<2x8xf32> {weir.state = "stream.start"}) {
  return %a, %s : tensor<2x3x8xf32>, tensor<2x8xf32>
}
