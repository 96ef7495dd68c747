#include "runtime/plugin/layer_text.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weir::runtime {
namespace {

bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '.' ||
         c == '-';
}

enum class TokenKind { kWord, kSymbol, kString, kOther, kComment, kEnd };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string
      text;  // a symbol without '@', a string without quotes and escapes, a comment without slashes
  int line = 0;
  bool first_on_line = false;
};

class Lexer {
 public:
  explicit Lexer(absl::string_view text) : text_(text) {}

  absl::StatusOr<Token> Next() {
    SkipSpace();
    Token token;
    token.line = line_;
    token.first_on_line = first_on_line_;
    first_on_line_ = false;
    if (position_ >= text_.size()) return token;
    const char c = text_[position_];
    if (c == '\0') return Error("a NUL byte");
    if (c == '/' && Peek(1) == '/') return Comment(std::move(token));
    if (c == '"') return String(std::move(token), TokenKind::kString);
    if (c == '@') {
      ++position_;
      if (Peek(0) == '"') return String(std::move(token), TokenKind::kSymbol);
      return Word(std::move(token), TokenKind::kSymbol);
    }
    // '-' and '.' continue a word but don't begin one; '%', '!', '#', '^' make their word something
    // else than an op's name.
    if (c == '%' || c == '!' || c == '#' || c == '^') {
      ++position_;
      return Word(std::move(token), TokenKind::kOther);
    }
    if (IsWordCharacter(c) && c != '-' && c != '.') return Word(std::move(token), TokenKind::kWord);
    token.kind = TokenKind::kOther;
    token.text = std::string(1, c);
    ++position_;
    return token;
  }

 private:
  char Peek(size_t ahead) const {
    return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
  }

  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", what));
  }

  void SkipSpace() {
    while (position_ < text_.size() &&
           absl::ascii_isspace(static_cast<unsigned char>(text_[position_]))) {
      if (text_[position_] == '\n') {
        ++line_;
        first_on_line_ = true;
      }
      ++position_;
    }
  }

  Token Word(Token token, TokenKind kind) {
    const size_t begin = position_;
    while (position_ < text_.size() && IsWordCharacter(text_[position_])) ++position_;
    token.kind = kind;
    token.text = std::string(text_.substr(begin, position_ - begin));
    return token;
  }

  Token Comment(Token token) {
    size_t end = text_.find('\n', position_);
    if (end == absl::string_view::npos) end = text_.size();
    absl::string_view body = text_.substr(position_, end - position_);
    while (!body.empty() && body.front() == '/') body.remove_prefix(1);
    if (!body.empty() && body.front() == ' ') body.remove_prefix(1);
    token.kind = TokenKind::kComment;
    token.text = std::string(absl::StripTrailingAsciiWhitespace(body));
    position_ = end;
    return token;
  }

  absl::StatusOr<Token> String(Token token, TokenKind kind) {
    ++position_;  // the opening quote
    token.kind = kind;
    while (true) {
      // MLIR's strings end on their line.
      if (position_ >= text_.size() || text_[position_] == '\n')
        return Error("a string that doesn't end");
      const char c = text_[position_++];
      if (c == '"') return token;
      if (c == '\\' && position_ < text_.size() && text_[position_] != '\n') {
        token.text += text_[position_++];
      } else {
        token.text += c;
      }
    }
  }

  absl::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
  bool first_on_line_ = true;
};

// The last block of whole-line comments since the layer before. Code between the block and the
// layer (a type alias) doesn't part them.
class DocCollector {
 public:
  void Add(const Token& comment) {
    if (!comment.first_on_line) return;
    if (comment.line != last_line_ + 1) lines_.clear();
    lines_.push_back(comment.text);
    last_line_ = comment.line;
  }

  std::string Take() {
    std::string doc(absl::StripAsciiWhitespace(absl::StrJoin(lines_, "\n")));
    lines_.clear();
    last_line_ = -1;
    return doc;
  }

 private:
  std::vector<std::string> lines_;
  int last_line_ = -1;
};

}  // namespace

absl::StatusOr<std::vector<LayerText>> FindLayers(absl::string_view text) {
  // In pretty syntax the name is the first symbol after `weir.layer`; in generic syntax it is the
  // string after `sym_name =`.
  enum class State { kCode, kPretty, kGeneric, kGenericEquals, kGenericName };
  Lexer lexer(text);
  DocCollector docs;
  std::vector<LayerText> layers;
  LayerText layer;
  State state = State::kCode;
  int depth = 0;  // of braces
  int layer_depth =
      0;  // depth at which the current layer began: comments in its body belong to nobody
  const auto finish = [&](const std::string& name) {
    layer.name = name;
    layers.push_back(layer);
    state = State::kCode;
  };
  while (true) {
    absl::StatusOr<Token> next = lexer.Next();
    if (!next.ok()) return next.status();
    const Token& token = *next;
    if (token.kind == TokenKind::kComment) {
      docs.Add(token);
      continue;
    }
    if (token.kind == TokenKind::kOther && token.text == "{") ++depth;
    if (token.kind == TokenKind::kOther && token.text == "}") {
      --depth;
      // Comments inside the body of the layer that ends here don't document the next one.
      if (depth <= layer_depth && !layers.empty()) docs.Take();
    }
    const bool begins_pretty = token.kind == TokenKind::kWord && token.text == "weir.layer";
    const bool begins_generic = token.kind == TokenKind::kString && token.text == "weir.layer";
    const bool ended = token.kind == TokenKind::kEnd;
    if (state != State::kCode && (begins_pretty || ended)) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", layer.line, ": a weir.layer without a name"));
    }
    if (ended) return layers;
    switch (state) {
      case State::kCode:
        if (begins_pretty || begins_generic) {
          layer = LayerText();
          layer.line = token.line;
          layer.doc = docs.Take();
          layer_depth = depth;
          state = begins_pretty ? State::kPretty : State::kGeneric;
        }
        break;
      case State::kPretty:
        if (token.kind == TokenKind::kSymbol && IsValidName(token.text)) {
          finish(token.text);
        } else if (token.kind != TokenKind::kWord) {  // a word: `private`
          return absl::InvalidArgumentError(
              absl::StrCat("line ", token.line, ": expected the layer's name after weir.layer"));
        }
        break;
      case State::kGeneric:
        if (token.kind == TokenKind::kWord && token.text == "sym_name")
          state = State::kGenericEquals;
        break;
      case State::kGenericEquals:
        state = token.kind == TokenKind::kOther && token.text == "=" ? State::kGenericName
                                                                     : State::kGeneric;
        break;
      case State::kGenericName:
        if (token.kind != TokenKind::kString || !IsValidName(token.text)) {
          return absl::InvalidArgumentError(
              absl::StrCat("line ", token.line, ": expected the layer's name"));
        }
        finish(token.text);
        break;
    }
  }
}

bool IsValidName(absl::string_view name) {
  if (name.empty() || !std::all_of(name.begin(), name.end(), IsWordCharacter)) return false;
  const char first = name.front();
  return absl::ascii_isalpha(static_cast<unsigned char>(first)) || first == '_' || first == '$';
}

}  // namespace weir::runtime
