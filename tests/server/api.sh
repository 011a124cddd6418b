#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The endpoints of `ingot serve` over the bundled model, as curl sees them. Usage: see tests/cli/lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/../cli/lib.sh"
Need curl
Need jq

SOCKET=$WORK/ingot.sock
PICTURE=$(find -L "$DATA/calib64/images" -name '*.jpg' | sort | head -n 1)

Serve() {
  "$INGOT" serve "$TINY" --uds "$SOCKET" --served-model-name tiny alias --max-model-len 2048 --enable-auto-tool-choice \
    --tool-call-parser hermes --enable-tokenizer-info-endpoint --allowed-local-media-path "$(dirname "$PICTURE")" \
    "$@" >"$WORK/serve.log" 2>&1 &
  SERVER=$!
  local i
  for i in $(seq 1 300); do
    Get /health >/dev/null 2>&1 && return
    kill -0 "$SERVER" 2>/dev/null || break
    sleep 0.1
  done
  Fail "the server did not start"
  tail -n 20 "$WORK/serve.log"
  Finish
  exit 1
}
Stop() { kill "$SERVER" 2>/dev/null && wait "$SERVER" 2>/dev/null; }
trap Stop EXIT

Get() { curl -sS --fail --max-time 60 --unix-socket "$SOCKET" "http://ingot$1"; }

# Post PATH BODY: the answer in $OUT, the status in $CODE.
Post() {
  CODE=$(curl -sS --max-time 120 --unix-socket "$SOCKET" -o "$OUT" -w '%{http_code}' -H 'Content-Type: application/json' \
    --data-binary "$2" "http://ingot$1")
}
# Holds FILTER WHAT: a jq filter over $OUT is true.
Holds() {
  if jq -e "$1" "$OUT" >/dev/null 2>&1; then Pass; else Fail "$2: $1"; head -c 600 "$OUT"; echo; fi
}
# Answers PATH BODY FILTER: status 200 and the filter holds.
Answers() {
  Post "$1" "$2"
  [ "$CODE" = 200 ] || { Fail "$1: status $CODE for $2"; head -c 400 "$OUT"; echo; return; }
  Holds "$3" "$2"
}
# Refuses STATUS PATH BODY FILTER: vLLM's error shape with this status, and the filter over .error holds.
Refuses() {
  Post "$2" "$3"
  [ "$CODE" = "$1" ] || { Fail "$2: status $CODE, expected $1, for ${3:0:200}"; head -c 400 "$OUT"; echo; return; }
  Holds ".error | (.code == $1) and (.message | length > 0) and has(\"param\") and has(\"type\") and (${4:-true})" "${3:0:200}"
}
# Frames: the JSON of a stream in $OUT as one list, without [DONE], into $OUT; the end must be there.
Frames() {
  tail -n 2 "$OUT" | grep -q '^data: \[DONE\]$' || Fail "the stream does not end with [DONE]"
  sed -n 's/^data: //p' "$OUT" | grep -v '^\[DONE\]$' | jq -s . >"$OUT.json" && mv "$OUT.json" "$OUT"
}
Chat() { jq -cn --argjson more "$1" '{model: "tiny", messages: [{role: "user", content: "What is this?"}], temperature: 0, max_tokens: 24} + $more'; }
WithPicture() {
  jq -cn --arg url "$1" --argjson more "${2:-"{}"}" '{model: "tiny", temperature: 0, max_tokens: 24, messages: [{role: "user",
    content: [{type: "image_url", image_url: {url: $url}}, {type: "text", text: "What is this?"}]}]} + $more'
}

Serve
C=/v1/chat/completions

# The likeliest answer is the one that `ask` gives, whole and streamed, by data URL and by file.
Ok ask "$TINY" --image "$PICTURE" "What is this?" --greedy --max-tokens 24 --json && EXPECTED=$(jq -r .text "$OUT")
DATA_URL="data:image/jpeg;base64,$(base64 -w0 "$PICTURE")"
Answers $C "$(WithPicture "$DATA_URL")" ".choices[0].message.content == $(jq -Rn --arg t "$EXPECTED" '$t')"
USAGE=$(jq -c .usage "$OUT")
Answers $C "$(WithPicture "file://$PICTURE")" ".choices[0].message.content == $(jq -Rn --arg t "$EXPECTED" '$t')"
Post $C "$(WithPicture "$DATA_URL" '{"stream": true, "stream_options": {"include_usage": true}}')"
Frames
Holds "([.[].choices[]?.delta.content // \"\"] | add) == $(jq -Rn --arg t "$EXPECTED" '$t')" "streamed text"
Holds '.[0].choices[0].delta == {role: "assistant", content: ""}' "first frame"
Holds "(.[-1].choices == []) and (.[-1].usage.completion_tokens == ($USAGE | .completion_tokens)) and (.[-1].usage.prompt_tokens == ($USAGE | .prompt_tokens))" "usage frame"
Holds '[.[].choices[]?.finish_reason | select(. != null)] | length == 1' "one finish_reason"
Ok ask "$TINY" "What is this?" --greedy --max-tokens 24 --json && EXPECTED=$(jq -r .text "$OUT")
Answers $C "$(Chat '{}')" ".choices[0].message.content == $(jq -Rn --arg t "$EXPECTED" '$t')"

# Sampling fields.
Answers $C "$(Chat '{"temperature": 1, "seed": 7, "n": 3}')" '.choices | length == 3'
FIRST=$(jq -c '[.choices[].message.content]' "$OUT")
Answers $C "$(Chat '{"temperature": 1, "seed": 7, "n": 3}')" "[.choices[].message.content] == $FIRST"
Answers $C "$(Chat '{"max_tokens": 3, "ignore_eos": true}')" '(.usage.completion_tokens == 3) and (.choices[0].finish_reason == "length")'
Answers $C "$(Chat '{"logprobs": true, "top_logprobs": 3, "max_tokens": 2}')" \
  '.choices[0].logprobs.content | (length >= 1) and all(.logprob <= 0 and (.top_logprobs | length == 3) and .top_logprobs[0].logprob == .logprob)'
Answers $C "$(Chat '{"prompt_logprobs": 1, "max_tokens": 1}')" '(.prompt_logprobs[0] == null) and (.prompt_logprobs | length) == .usage.prompt_tokens'

# Log-likelihoods as evaluation programs ask for them.
Answers /tokenize '{"prompt": "a red square"}' '.count == (.tokens | length)'
IDS=$(jq -c .tokens "$OUT")
Answers /detokenize "{\"tokens\": $IDS}" '.prompt == "a red square"'
Answers /v1/completions "{\"model\": \"tiny\", \"prompt\": [$IDS, $IDS], \"max_tokens\": 1, \"logprobs\": 1, \"echo\": true, \"temperature\": 0}" \
  "(.choices | length == 2) and (.choices[0].logprobs.tokens | length) == ($IDS | length) + 1 and .choices[0].logprobs.token_logprobs[0] == null
   and .choices[0].logprobs == .choices[1].logprobs"
Answers /v1/completions "{\"prompt\": $IDS, \"max_tokens\": 0, \"logprobs\": 1, \"echo\": true}" \
  "(.choices[0].logprobs.tokens | length) == ($IDS | length) and .usage.completion_tokens == 0"
Post /v1/completions '{"prompt": "a red", "max_tokens": 4, "stream": true, "echo": true}'
Frames
Holds '[.[].choices[].text] | add | startswith("a red")' "streamed echo"

# Structured output: a model that knows nothing of JSON still writes it.
Answers $C "$(Chat '{"max_tokens": 200, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema":
  {"type": "object", "properties": {"kind": {"enum": ["cat", "dog"]}, "n": {"type": "integer", "minimum": 0, "maximum": 99}},
   "required": ["kind", "n"], "additionalProperties": false}}}, "structured_outputs": null}')" \
  '.choices[0].message.content | fromjson | (.kind == "cat" or .kind == "dog") and (.n | type == "number")'
Answers $C "$(Chat '{"guided_choice": ["yes", "no"]}')" '.choices[0].message.content | . == "yes" or . == "no"'
Answers $C "$(Chat '{"structured_outputs": {"regex": "[0-9]{3}-[a-f]{2}"}}')" '.choices[0].message.content | test("^[0-9]{3}-[a-f]{2}$")'
Answers /v1/completions '{"prompt": "x", "max_tokens": 40, "guided_grammar": "root ::= \"<\" [a-z]{2,4} \">\""}' '.choices[0].text | test("^<[a-z]{2,4}>$")'
Refuses 400 $C "$(Chat '{"guided_regex": "(a"}')"
Refuses 400 $C "$(Chat '{"guided_json": {"type": "nothing"}}')"

# Tools.
TOOLS='{"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties":
  {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"], "additionalProperties": false}}}], "max_tokens": 200, "parallel_tool_calls": false}'
Answers $C "$(Chat "$(jq -c '. + {tool_choice: "required"}' <<<"$TOOLS")")" '.choices[0] | (.finish_reason == "tool_calls") and
  (.message.tool_calls[0] | .function.name == "weather" and (.function.arguments | fromjson | .city | . == "Rome" or . == "Oslo"))'
Answers $C "$(Chat "$(jq -c '. + {tool_choice: {type: "function", function: {name: "weather"}}}' <<<"$TOOLS")")" \
  '.choices[0].message.tool_calls[0].function.name == "weather"'
Post $C "$(Chat "$(jq -c '. + {tool_choice: "required", stream: true}' <<<"$TOOLS")")"
Frames
Holds '[.[].choices[].delta.tool_calls[]?] | (.[0].function.name == "weather") and ([.[].function.arguments] | add | fromjson | has("city"))' "streamed call"
Answers $C "$(Chat "$TOOLS")" '.choices[0].message | has("tool_calls")'

# Errors.
Refuses 404 $C '{"model": "other", "messages": [{"role": "user", "content": "x"}]}' '.type == "NotFoundError"'
Refuses 400 $C '{"messages": [' '.type == "Bad Request"'
Refuses 400 $C "$(Chat '{"top_p": 3}')" '.type == "BadRequestError" and .param == "top_p"'
Refuses 400 $C "$(Chat '{"max_tokens": 100000}')" '.message | test("maximum context length is 2048")'
Refuses 400 $C "$(Chat "{\"messages\": [{\"role\": \"user\", \"content\": \"$(printf 'long %.0s' $(seq 1 4000))\"}]}")" '.message | test("maximum context length")'
Refuses 400 $C "$(WithPicture 'data:image/png;base64,AAAA')"
Refuses 400 $C "$(WithPicture 'http://127.0.0.1:9/x.png')" '.message | test("not public")'
Refuses 400 $C "$(WithPicture 'file:///etc/passwd')" '.message | contains("/etc") | not'
Refuses 400 $C "$(Chat '{"chat_template": "x"}')"
Refuses 501 /v1/embeddings '{}'

# Spelled control tokens are text, in messages of any role.
Answers $C "$(Chat '{"messages": [{"role": "user", "content": "<|im_end|><|im_start|><|image_pad|><|vision_start|>"}]}')" '.choices[0].finish_reason != null'

# Small endpoints.
Get /v1/models >"$OUT" && Holds '[.data[].id] == ["tiny", "alias"] and .data[0].max_model_len == 2048' models
Get /openapi.json >"$OUT" && Holds '.paths["/v1/completions"].post' openapi
Get /load >"$OUT" && Holds '.server_load == 0' load
Get /tokenizer_info >"$OUT" && Holds '.tokenizer_class' tokenizer_info
Get /metrics >"$OUT"
grep -q '^vllm:generation_tokens_total{.*model_name="tiny".*} [1-9]' "$OUT" && Pass || Fail "no generated tokens in /metrics"
grep -q '^vllm:time_to_first_token_seconds_bucket{.*le="2560"' "$OUT" && Pass || Fail "no TTFT buckets in /metrics"

# A client that goes away leaves nothing behind.
timeout 0.3 curl -sS -N --unix-socket "$SOCKET" -H 'Content-Type: application/json' \
  -d "$(Chat '{"stream": true, "max_tokens": 1900, "ignore_eos": true}')" "http://ingot$C" >/dev/null 2>&1
for _ in $(seq 1 100); do
  Get /metrics >"$OUT"
  grep -q '^vllm:num_requests_running{.*} 0$' "$OUT" && break
  sleep 0.1
done
grep -q '^vllm:num_requests_running{.*} 0$' "$OUT" && Pass || Fail "a request runs on after its client is gone"

Finish
