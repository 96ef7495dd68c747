// RUN: weir-opt %s --split-input-file --verify-diagnostics

// expected-error@+1 {{names the model '@m', which isn't there}}
weir.experiment @e model(@m) {
  weir.task "text" {}
  weir.optimizer "adamw" {}
  weir.train {steps = 1}
}

// -----
weir.layer @m() { weir.return }
// expected-error@+1 {{names '@m', which is no 'weir.model'}}
weir.experiment @e model(@m) {
  weir.task "text" {}
  weir.optimizer "adamw" {}
  weir.train {steps = 1}
}

// -----
weir.model @m() { weir.return }
// expected-error@+1 {{needs a 'weir.optimizer'}}
weir.experiment @e model(@m) {
  weir.task "text" {}
  weir.train {steps = 1}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-note@+1 {{the first is here}}
  weir.task "text" {}
  // expected-error@+1 {{is there twice in '@e'}}
  weir.task "text" {}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{can't be in 'weir.experiment'}}
  %c = arith.constant 1 : i64
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{needs the name of a task}}
  weir.task "" {}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'batch' = 0 : i64, but it must be a whole number above 0}}
  weir.task "text" {batch = 0}
}

// -----
weir.model @m() {
  %width = weir.config "width" default 4 : index
  %length = weir.config "length" default [2 * %width] : index
  weir.return
}
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'context' = @length, but the model '@m' has no option of that name with a plain default}}
  weir.task "text" {context = @length, batch = @width}
  weir.optimizer "adamw" {}
  weir.train {steps = 1}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{doesn't know "sgd"; it knows "adamw"}}
  weir.optimizer "sgd" {}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has no setting 'rate'; its settings are lr, betas, eps, weight_decay, no_decay}}
  weir.optimizer "adamw" {rate = 1.0}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'lr' = -1.000000e+00 : f64, but it must be a number above 0}}
  weir.optimizer "adamw" {lr = -1.0}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'betas' = [9.000000e-01], but it must be two numbers from 0 to below 1, in brackets}}
  weir.optimizer "adamw" {betas = [0.9]}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'no_decay' = "*.bias", but it must be a list of patterns in quotes}}
  weir.optimizer "adamw" {no_decay = "*.bias"}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  weir.optimizer "adamw" {} {
    // expected-error@+1 {{needs a pattern}}
    weir.group [] {lr_scale = 1.0}
  }
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  weir.optimizer "adamw" {} {
    // expected-error@+1 {{has setting 'weight_decay' = -1 : i64, but it must be a number, at least 0}}
    weir.group ["*"] {weight_decay = -1}
  }
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  weir.optimizer "adamw" {} {
    // expected-error@+1 {{can't be in 'weir.optimizer'}}
    %c = arith.constant 1 : i64
  }
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{doesn't know "step"; it knows "constant", "linear", "cosine"}}
  weir.schedule "step" {}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has no setting 'steps'; its settings are warmup}}
  weir.schedule "constant" {steps = 3}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{needs the setting 'steps'}}
  weir.train {clip = 1.0}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'state' = "keep", but it must be "reset" or "carry"}}
  weir.train {steps = 1, state = "keep"}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'clip_kind' = 1 : i64, but it must be "global" or "local"}}
  weir.train {steps = 1, clip_kind = 1}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'windows' = 0 : i64, but it must be a whole number, at least 1}}
  weir.train {steps = 1, state = "carry", windows = 0}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'windows', which says nothing without state = "carry"}}
  weir.train {steps = 1, windows = 4}
}

// -----
weir.model @m() { weir.return }
weir.experiment @e model(@m) {
  // expected-error@+1 {{has setting 'steps' = 1.500000e+00 : f64, but it must be a whole number, at least 0}}
  weir.train {steps = 1.5}
}

// -----
// expected-error@+1 {{expects parent op 'weir.experiment'}}
weir.task "text" {}
