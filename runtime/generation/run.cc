#include "runtime/generation/run.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/file.h"
#include "runtime/base/human.h"
#include "runtime/generation/stream_model.h"
#include "runtime/generation/text.h"

namespace weir::runtime {

namespace {

absl::Status CheckPositions(const Program& program, int64_t position, const TextOptions& options) {
  auto text = program.metadata.find(kPositionLimitKey);
  int64_t limit;
  if (text == program.metadata.end() || !absl::SimpleAtoi(text->second, &limit))
    return absl::OkStatus();
  size_t longest = 0;
  for (const std::string& prompt : options.prompts) longest = std::max(longest, prompt.size());
  // The last token is not read.
  int64_t needed = position + (options.unread.empty() ? 0 : 1) + static_cast<int64_t>(longest) +
                   options.generation.tokens - 1;
  if (needed <= limit) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("the model knows ", limit,
                                            " positions, and a text of this length has ", needed));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> PromptsOf(const GenerationRequest& request) {
  std::vector<std::string> prompts = request.prompts;
  if (!request.prompt_file.empty()) {
    absl::StatusOr<std::string> text = ReadFile(request.prompt_file);
    if (!text.ok()) return text.status();
    prompts.push_back(*std::move(text));
  }
  if (prompts.empty() && !request.state.empty()) prompts.emplace_back();
  if (prompts.empty())
    return absl::InvalidArgumentError(
        "there is nothing to go on from: give --prompt=TEXT, --prompt_file=FILE or --state=FILE");
  for (const std::string& prompt : prompts) {
    if (prompt.empty() && request.state.empty())
      return absl::InvalidArgumentError("a prompt is empty: there is nothing to go on from");
    if (prompt.size() != prompts[0].size() && !request.save_state.empty())
      return absl::InvalidArgumentError(
          "--save_state needs prompts of one length: a state has one position for all sequences");
  }
  if (request.samples < 1)
    return absl::InvalidArgumentError(absl::StrCat("--samples can't be ", request.samples));
  return prompts;
}

absl::Status RunGeneration(Session& session, const Vocabulary& vocabulary,
                           const GenerationRequest& request, std::FILE* out, std::FILE* log) {
  absl::StatusOr<std::vector<std::string>> prompts = PromptsOf(request);
  if (!prompts.ok()) return prompts.status();
  absl::StatusOr<Stream> stream = Stream::Create(session);
  if (!stream.ok()) return stream.status();
  absl::StatusOr<StreamModel> model = StreamModel::Create(*std::move(stream));
  if (!model.ok()) return model.status();
  int64_t rows = model->sequences(), wanted = prompts->size() * request.samples;
  if (rows != wanted) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the program is for ", rows, rows == 1 ? " sequence" : " sequences", " at once, and there ",
        wanted == 1 ? "is " : "are ", wanted, " (prompts x samples)"));
  }
  TextOptions options;
  options.prompts = *std::move(prompts);
  options.samples = request.samples;
  options.generation.tokens = request.tokens;
  options.generation.sampling = request.sampling;
  if (!request.state.empty()) {
    absl::Status status = model->Load(request.state, &options.unread);
    if (!status.ok()) return status;
  }
  if (absl::Status status = CheckPositions(session.program(), model->position(), options);
      !status.ok())
    return status;
  double before = PeakMemoryBytes();
  if (log != nullptr) {
    std::fprintf(log, "state: %s a sequence, at position %lld\n",
                 HumanBytes(static_cast<double>(model->state_bytes() / rows)).c_str(),
                 static_cast<long long>(model->position()));
    const auto& metadata = session.program().metadata;
    if (auto context = metadata.find(kContextKey); context != metadata.end())
      std::fprintf(log, "attention looks back on %s tokens at most\n", context->second.c_str());
  }
  absl::StatusOr<GenerationResult> result =
      GenerateText(*model, vocabulary, std::move(options), out);
  if (!result.ok()) return result.status();
  if (!request.save_state.empty()) {
    absl::Status status = model->Save(request.save_state, result->last);
    if (!status.ok()) return status;
  }
  if (log != nullptr) {
    double after = PeakMemoryBytes();
    std::fprintf(
        log, "%sposition %lld; %d thread%s, %s; memory: %s at most, %s before the first token\n",
        SpeedReport(*result).c_str(), static_cast<long long>(model->position()), session.threads(),
        session.threads() == 1 ? "" : "s", session.isa().c_str(), HumanBytes(after).c_str(),
        HumanBytes(before).c_str());
  }
  return absl::OkStatus();
}

}  // namespace weir::runtime
