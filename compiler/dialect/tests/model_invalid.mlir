// RUN: weir-opt %s --split-input-file --verify-diagnostics

!seq = tensor<?x?x?xf32>
// expected-error@+1 {{'weir.layer' op must end in 'weir.return'}}
"weir.layer"() ({
^bb0(%x: !seq):
  %d = weir.dim %x, feature : !seq
}) {sym_name = "a", function_type = (!seq) -> (), arg_names = ["x"]} : () -> ()

// -----
!seq = tensor<?x?x?xf32>
// expected-error@+1 {{has a body whose arguments aren't those of its signature}}
"weir.layer"() ({
^bb0(%x: !seq):
  weir.return
}) {sym_name = "a", function_type = () -> (), arg_names = ["x"]} : () -> ()

// -----
!seq = tensor<?x?x?xf32>
// expected-error@+1 {{has 1 arguments but 0 names for them}}
"weir.model"() ({
^bb0(%x: !seq):
  weir.return
}) {sym_name = "a", function_type = (!seq) -> (), arg_names = []} : () -> ()

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-note@+1 {{the first is here}}
  %d = weir.config "n" default 1 : index
  // expected-error@+1 {{'weir.config' op is a second option 'n' in '@a'}}
  %e = weir.config "n" default 2 : index
  weir.return %x : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-note@+1 {{the first is here}}
  %d = weir.state "h" [4] init(zeros) : tensor<?x?xf32>
  // expected-error@+1 {{'weir.state' op is a second state 'h' in '@a'}}
  %e = weir.state "h" [4] init(zeros) : tensor<?x?xf32>
  weir.return %x, state("h" = %d : tensor<?x?xf32>) : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{'weir.return' op gives 2 results, but '@a' has 1}}
  weir.return %x, %x : !seq, !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.model @a(%x: !seq, %m: tensor<?x?xi32>) -> !seq {
  // expected-error@+1 {{gives result #0 the type 'tensor<?x?xi32>', but '@a' declares 'tensor<?x?x?xf32>'}}
  weir.return %m : tensor<?x?xi32>
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq, %h: tensor<?x?xf32>) -> !seq {
  // expected-error@+1 {{gives a next value to state 'h', but '@a' has no 'weir.state' of this name}}
  weir.return %x, state("h" = %h : tensor<?x?xf32>) : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-note@+1 {{the state is here}}
  %h = weir.state "h" [4] init(zeros) : tensor<?x?xf32>
  // expected-error@+1 {{must give state 'h' its next value}}
  weir.return %x : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  %h = weir.state "h" [4] init(zeros) : tensor<?x?xf32>
  // expected-error@+1 {{gives state 'h' two next values}}
  weir.return %x, state("h" = %h : tensor<?x?xf32>, "h" = %h : tensor<?x?xf32>) : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-note@+1 {{the state is here}}
  %h = weir.state "h" [4] init(zeros) : tensor<?x?xf32>
  // expected-error@+1 {{gives state 'h' a value of type 'tensor<?x?x?xf32>', but its type is 'tensor<?x?xf32>'}}
  weir.return %x, state("h" = %x : !seq) : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{expected a value or 'state(...)'}}
  weir.return %x, : !seq
}

// -----
func.func @a(%x: tensor<?x?x?xf32>) {
  // expected-error@+1 {{expects parent op to be one of 'weir.layer, weir.model'}}
  weir.return %x : tensor<?x?x?xf32>
}

// -----
weir.layer @a() {
  // expected-error@+1 {{needs 'oneof'}}
  %e = "weir.config"() {name = "n", default_value = "a", operandSegmentSizes = array<i32: 0>} : () -> !weir.choice
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{'weir.config' op needs a default}}
  %e = "weir.config"() {name = "n"} : () -> index
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{'weir.config' op needs a name}}
  %e = weir.config "" default 1 : index
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{can't have two defaults}}
  %e = "weir.config"() {name = "n", default_value = 1 : index, default_size = affine_map<() -> (1)>} : () -> index
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{has a default in brackets, so its type is index, not 'f64'}}
  %e = "weir.config"() {name = "n", default_size = affine_map<() -> (1)>} : () -> f64
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{needs 1 size in brackets, but has 2}}
  %e = weir.config "n" default [1, 2] : index
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{option 'n' must be "b" | "c", not "a"}}
  %e = weir.config "n" default "a" oneof ["b", "c"]
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{allows "b" twice}}
  %e = weir.config "n" default "b" oneof ["b", "b"]
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{the default says that option 'n' is 'f64', not 'index'}}
  %e = weir.config "n" default 0.5 : f64 : index
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{a number with a point as a default is an f64, not a 'f32'}}
  %e = weir.config "n" default 0.5 : f32
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{a whole number as a default is an index, not a 'i32'}}
  %e = weir.config "n" default 5 : i32
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+2 {{expected 'oneof' and the words that the option allows}}
  %e = weir.config "n" default "a"
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{expected a list of words}}
  %e = weir.config "n" default "a" oneof ["a", 1]
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{expected a default: a number, true, false, a word, or a size in brackets}}
  %e = weir.config "n" default @a
  weir.return
}

// -----
weir.layer @a(%x: tensor<?x?xf32>) {
  // expected-error@+1 {{asks for the time of 'tensor<?x?xf32>', which has none}}
  %e = weir.dim %x, time : tensor<?x?xf32>
  weir.return
}

// -----
weir.layer @a(%x: tensor<?x?xi32>) {
  // expected-error@+1 {{asks for the feature of 'tensor<?x?xi32>', which has none}}
  %e = weir.dim %x, feature : tensor<?x?xi32>
  weir.return
}

// -----
weir.layer @a() {
  %k = weir.config "k" default "a" oneof ["a", "b"]
  // expected-error@+1 {{has no region for "b"}}
  weir.case %k "a" { weir.yield }
  weir.return
}

// -----
weir.layer @a() {
  %k = weir.config "k" default "a" oneof ["a", "b"]
  // expected-error@+1 {{has a region for "c", which option 'k' doesn't allow; it allows "a" | "b"}}
  weir.case %k "a" { weir.yield } "b" { weir.yield } "c" { weir.yield }
  weir.return
}

// -----
weir.layer @a() {
  %k = weir.config "k" default "a" oneof ["a", "b"]
  // expected-error@+1 {{has two regions for "a"}}
  weir.case %k "a" { weir.yield } "a" { weir.yield }
  weir.return
}

// -----
weir.layer @a() {
  %k = weir.config "k" default true
  // expected-error@+1 {{has no region for false}}
  weir.case %k true { weir.yield }
  weir.return
}

// -----
weir.layer @a() {
  %k = weir.config "k" default true
  // expected-error@+1 {{has the label "a", but chooses by true and false}}
  weir.case %k true { weir.yield } "a" { weir.yield }
  weir.return
}

// -----
weir.layer @a() {
  %k = weir.config "k" default true
  // expected-error@+2 {{expected a region with its label: a word, true or false}}
  weir.case %k
  weir.return
}

// -----
weir.layer @a() {
  %k = weir.config "k" default true
  // expected-error@+1 {{has 1 regions but 2 labels}}
  "weir.case"(%k) ({ weir.yield }) {labels = [true, false]} : (i1) -> ()
  weir.return
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  %k = weir.config "k" default true
  %y = weir.case %k : !seq
    true { weir.yield %x : !seq }
    // expected-error@+1 {{'weir.yield' op gives nothing, but its region false must give 'tensor<?x?x?xf32>'}}
    false { weir.yield }
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{its body must end in 'weir.yield'}}
  %y = weir.repeat 2 (%r = %x) : !seq {
    %e = weir.dim %r, feature : !seq
  }
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{can't repeat -2 times}}
  %y = weir.repeat -2 (%r = %x) : !seq {
    weir.yield %r : !seq
  }
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{needs 1 size in brackets, but has 2}}
  %y = weir.repeat [1, 2] (%r = %x) : !seq {
    weir.yield %r : !seq
  }
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{1 values are carried, but 2 types are given}}
  %y, %z = weir.repeat 2 (%r = %x) : !seq, !seq {
    weir.yield %r : !seq
  }
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{carries 1 values, but its body has 3 arguments}}
  %y = "weir.repeat"(%x) ({
  ^bb0(%a: !seq, %b: !seq, %c: !seq):
    weir.yield %a : !seq
  }) {count = affine_map<() -> (2)>, operandSegmentSizes = array<i32: 0, 1>} : (!seq) -> !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{has a body whose first argument isn't an index}}
  %y = "weir.repeat"(%x) ({
  ^bb0(%a: !seq, %b: !seq):
    weir.yield %a : !seq
  }) {count = affine_map<() -> (2)>, operandSegmentSizes = array<i32: 0, 1>} : (!seq) -> !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{carries value #0 of type 'tensor<?x?x?xf32>' in an argument of type 'f32'}}
  %y = "weir.repeat"(%x) ({
  ^bb0(%a: f32):
    weir.yield %a : f32
  }) {count = affine_map<() -> (2)>, operandSegmentSizes = array<i32: 0, 1>} : (!seq) -> !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{must have the types of its carried values as result types}}
  %y = "weir.repeat"(%x) ({
  ^bb0(%a: !seq):
    weir.yield %a : !seq
  }) {count = affine_map<() -> (2)>, operandSegmentSizes = array<i32: 0, 1>} : (!seq) -> f32
  weir.return %x : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{needs the name of a layer}}
  %y = weir.apply ""(%x) : !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  // expected-error@+1 {{option 'n' twice}}
  %y = weir.apply "b"(%x) {n = 1, n = 2} : !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  // expected-error@+1 {{has the option 'n' twice}}
  %y = weir.apply "b"(%x) {n = 1, n = %d} : !seq
  weir.return %y : !seq
}

// -----
weir.layer @a() {
  // expected-error@+1 {{'weir.param' op needs a name}}
  %w = weir.param "" [4] init(zeros) : tensor<?xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{needs 2 sizes in brackets, but has 1}}
  %w = weir.param "w" [4] init(zeros) : tensor<?x?xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{has a size of 0}}
  %w = weir.param "w" [0] init(zeros) : tensor<?xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{has the type 'tensor<5xf32>', but its size #0 is 4}}
  %w = weir.param "w" [4] init(zeros) : tensor<5xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{must hold floating-point numbers, not 'tensor<?xi32>'}}
  %w = weir.param "w" [4] init(zeros) : tensor<?xi32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{unknown initializer 'gaussian'; known are zeros, ones, constant(x), normal(std), uniform(bound), linear}}
  %w = weir.param "w" [4] init(gaussian(1.0)) : tensor<?xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{initializer 'normal' takes a number in parentheses}}
  %w = weir.param "w" [4] init(normal) : tensor<?xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{initializer 'zeros' takes no value}}
  %w = weir.param "w" [4] init(zeros(1.0)) : tensor<?xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{expected 'init'}}
  %w = weir.param "w" [4] : tensor<?xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{initializer 'normal(x)' is malformed}}
  %w = "weir.param"() {name = "w", sizes = affine_map<() -> (4)>, init = "normal(x)", operandSegmentSizes = array<i32: 0, 0>} : () -> tensor<?xf32>
  weir.return
}

// -----
weir.layer @a() {
  // expected-error@+1 {{must start as zeros, ones or constant(x), not 'normal(1.0)'}}
  %h = weir.state "h" [4] init(normal(1.0)) : tensor<?x?xf32>
  weir.return state("h" = %h : tensor<?x?xf32>)
}

// -----
weir.layer @a() {
  // expected-error@+1 {{has the type 'tensor<2x?xf32>', but its batch must be open (the first dimension '?')}}
  %h = weir.state "h" [4] init(zeros) : tensor<2x?xf32>
  weir.return state("h" = %h : tensor<2x?xf32>)
}

// -----
weir.layer @a() {
  // expected-error@+1 {{has the type 'tensor<f32>', but the batch comes first}}
  %h = weir.state "h" init(zeros) : tensor<f32>
  weir.return state("h" = %h : tensor<f32>)
}

// -----
func.func @heads(%x: tensor<2x3x8xf32>) {
  // expected-error@+1 {{can't make 3 heads of 8 features}}
  %h = weir.split_heads %x num_heads 3 : tensor<2x3x8xf32> -> tensor<2x3x3x2xf32>
  return
}
