#include "compiler/dialect/interfaces.h"

#include "compiler/dialect/interfaces.cpp.inc"
