#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Life of `ingot serve`: starts that must fail in one line with their exit code, starts that must succeed, signals, the service
# manager, access, unix socket. Usage: see lib.sh.
. "$(dirname "$0")/lib.sh"
Need curl
Need jq

PID='' URL=''
trap '[ -z "$PID" ] || kill -9 "$PID" 2>/dev/null' EXIT

# Start ARGS...: the server in the background; sets PID and URL once it is ready.
Start() {
  COMMAND="serve $*"
  : >"$ERR"
  "$INGOT" serve --port 0 "$@" >"$OUT" 2>"$ERR" </dev/null &
  PID=$!
  for _ in $(seq 600); do
    grep -q '^ready after' "$ERR" && break
    kill -0 "$PID" 2>/dev/null || break
    sleep 0.1
  done
  if ! grep -q '^ready after' "$ERR"; then CODE=-; Report "the server did not start"; PID=''; return 1; fi
  URL=$(sed -n 's|^API:    \(.*\)/v1.*|\1|p' "$ERR")
  Pass
}

# End SIGNAL CODE: sends the signal and expects the exit code.
End() {
  kill -s "$1" "$PID"
  CODE=0
  wait "$PID" || CODE=$?
  PID=''
  if [ "$CODE" = "$2" ]; then Pass; else Report "expected exit code $2 after SIG$1"; fi
}

# Status EXPECTED CURL-ARGS...
Status() {
  local expected=$1 found
  shift
  found=$(curl -sS -o "$WORK/body" -w '%{http_code}' --max-time 60 "$@")
  if [ "$found" = "$expected" ]; then Pass; else Fail "curl $*: status $found, expected $expected: $(head -c 300 "$WORK/body")"; fi
}

# ---- starts that fail: one line, a code of their own ----
Refused 2 'MODEL is missing' serve
Refused 7 'no such folder' serve "$WORK/nowhere"
Refused 7 'is a file' serve "$0"
mkdir -p empty
Refused 2 'no model folder|config' serve empty
Refused 2 'golden-stick.*float folder' serve "$MINI" --quantization golden-stick
Refused 2 'float folder' serve "$MINI" --unsafe-load-as-float
Refused 2 'nearest is --max-model-len' serve "$MINI" --max_model_lem 5
Refused 2 'ssl-certfile' serve "$MINI" --ssl-certfile nowhere.pem --ssl-keyfile nowhere.pem
Refused 2 'no address of that name' serve "$MINI" --host no.such.host.invalid
Refused '2 4' 'memory|KV|pages' serve "$TINY" --kv-cache-memory-bytes 100 --port 0

# ---- a quantized folder, and what must not be done to it ----
if Ok quantize "$MINI_UNTIED" -o w8a8 --target golden-stick-310 --calib "$DATA/calib64/images" --max-samples 4 --progress none; then
  Refused 2 'int8 codes.*golden-stick' serve w8a8 --quantization none
  Refused 2 'golden-stick' serve w8a8 --quantization ascend
  cp -r w8a8 half
  rm half/quant_model_description.json
  Refused '2 3' . serve half
  ask=(-d '{"model":"m","prompt":"What is this?","max_tokens":12,"temperature":0,"logprobs":1}' -H 'Content-Type: application/json')
  if Start w8a8 --host 127.0.0.1 --served-model-name m --max-model-len 512; then
    Status 200 "${ask[@]}" "$URL/v1/completions"
    cp body sound.json
    End TERM 0
  fi
  if Start w8a8 --host 127.0.0.1 --served-model-name m --max-model-len 512 --unsafe-load-as-float; then
    if grep -q 'ANSWERS WILL BE GARBAGE' "$ERR"; then Pass; else Report "no loud warning"; fi
    Status 200 "${ask[@]}" "$URL/v1/completions"
    if jq -c '.choices[0].logprobs.token_logprobs' body | cmp -s - <(jq -c '.choices[0].logprobs.token_logprobs' sound.json); then
      Fail "the mistake changes nothing"
    else
      Pass
    fi
    End TERM 0
  fi
fi

# ---- a start that succeeds, its banner and its end ----
if Start "$TINY" --host 127.0.0.1 --served-model-name tiny --max_model_len 2048 --tensor-parallel-size 1; then
  for line in 'serves .* as "tiny"' '^memory:' '^chat:' 'tensor-parallel-size is accepted'; do
    if grep -qE "$line" "$ERR"; then Pass; else Report "the start does not say /$line/"; fi
  done
  Status 200 "$URL/health"
  Status 200 "$URL/ping"
  Status 200 "$URL/version"
  Status 200 "$URL/v1/models"
  Status 200 "$URL/"
  Status 404 "$URL/v1/nothing"
  Status 405 -X DELETE "$URL/health"
  if grep -q 'GET /health HTTP/1.1" 200 OK' "$OUT"; then Pass; else Fail "no access log"; fi
  Refused 6 'in use' serve "$TINY" --host 127.0.0.1 --port "${URL##*:}"
  kill -s HUP "$PID"
  Status 200 -d '{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"max_tokens":4}' \
    -H 'Content-Type: application/json' "$URL/v1/chat/completions"
  End TERM 0
fi

# ---- two models: what is wrong with either shows before anything is loaded; names, health, figures, end ----
Refused 7 'no such folder' serve "$TINY" --compare "$WORK/nowhere"
Refused 2 '--compare-name' serve "$TINY" --compare "$TINY"
[ -d half ] && Refused '2 3' . serve "$TINY" --compare half
if [ -d w8a8 ] && Start "$MINI_UNTIED" --compare w8a8 --host 127.0.0.1 --served-model-name float --max-model-len 512 --emulate 310p; then
  Equal "models" "$(curl -sS "$URL/v1/models" | jq -c '[.data[].id]')" '["float","w8a8"]'
  Equal "what the page compares" "$(curl -sS "$URL/ingot/info" | jq -c .compare)" '{"a":"float","b":"w8a8"}'
  for line in 'as "float"' 'as "w8a8"' 'other model' 'emulate 310p.*nothing to round'; do
    if grep -q "$line" "$ERR"; then Pass; else Report "the start does not say /$line/"; fi
  done
  for model in float w8a8; do
    Status 200 -H 'Content-Type: application/json' "$URL/v1/completions" \
      -d '{"model":"'$model'","prompt":"What is this?","max_tokens":12,"temperature":0,"logprobs":1}'
    Equal "the answer's model" "$(jq -r .model body)" "$model"
    jq -c '.choices[0].logprobs.token_logprobs' body >"$model.json"
  done
  if cmp -s float.json w8a8.json; then Fail "both answers have the same probabilities"; else Pass; fi
  Status 404 -H 'Content-Type: application/json' -d '{"model":"other","prompt":"x"}' "$URL/v1/completions"
  Status 200 "$URL/health"
  Equal "requests by model" "$(curl -sS "$URL/metrics" | grep -c '^ingot:requests_total{.*} 1$')" 2
  curl -sS --max-time 60 -d '{"model":"w8a8","prompt":"Hello","max_tokens":200,"ignore_eos":true,"stream":true}' \
    -H 'Content-Type: application/json' "$URL/v1/completions" >stream.txt &
  client=$!
  for _ in $(seq 100); do grep -q '^data:' stream.txt && break; sleep 0.05; done
  End TERM 0
  wait "$client"
  if grep -q '\[DONE\]' stream.txt; then Pass; else Fail "the stream of the second model was cut"; fi
fi

# ---- SIGTERM lets a running answer finish ----
if Start "$TINY" --host 127.0.0.1 --served-model-name tiny; then
  curl -sS --max-time 60 -d '{"model":"tiny","prompt":"Hello","max_tokens":200,"ignore_eos":true,"stream":true}' \
    -H 'Content-Type: application/json' "$URL/v1/completions" >stream.txt &
  client=$!
  for _ in $(seq 100); do grep -q '^data:' stream.txt && break; sleep 0.05; done
  End TERM 0
  wait "$client"
  if grep -q '\[DONE\]' stream.txt; then Pass; else Fail "the stream was cut: $(tail -c 200 stream.txt)"; fi
fi

# ---- a second signal ends it at once ----
if Start "$TINY" --host 127.0.0.1 --served-model-name tiny; then
  curl -sS --max-time 60 -d '{"model":"tiny","prompt":"Hello","max_tokens":100000,"ignore_eos":true,"stream":true}' \
    -H 'Content-Type: application/json' "$URL/v1/completions" >stream.txt 2>/dev/null &
  for _ in $(seq 100); do grep -q '^data:' stream.txt && break; sleep 0.05; done
  kill -s INT "$PID"
  sleep 0.3
  if kill -0 "$PID" 2>/dev/null; then End INT 130; else wait "$PID"; PID=''; fi
  wait
fi

# ---- keys, CORS, request ids, JSON log, config file, unix socket ----
cat >serve.yaml <<YAML
model: $TINY
served-model-name: [tiny, other]
allowed-origins: ["http://page"]
enable-request-id-headers: true
log-format: json
YAML
export VLLM_API_KEY=secret-of-the-test
if Start --config serve.yaml --uds "$WORK/s.sock"; then
  unset VLLM_API_KEY
  via=(--unix-socket "$WORK/s.sock")
  Status 401 "${via[@]}" http://x/v1/models
  Status 401 "${via[@]}" -H 'Authorization: Bearer secret-of-the-tes' http://x/v1/models
  Status 200 "${via[@]}" -H 'Authorization: Bearer secret-of-the-test' http://x/v1/models
  Status 200 "${via[@]}" http://x/health
  Status 200 "${via[@]}" http://x/metrics
  if curl -sS -D - -o /dev/null "${via[@]}" -H 'Origin: http://page' -H 'X-Request-Id: mine' http://x/health >head.txt &&
    grep -qi '^access-control-allow-origin: http://page' head.txt && grep -qi '^x-request-id: mine' head.txt; then
    Pass
  else
    Fail "CORS or X-Request-Id: $(cat head.txt)"
  fi
  if grep -q '^{"time".*"request_id":"mine"' "$OUT" && ! grep -q 'secret-of' "$OUT" "$ERR"; then Pass; else Fail "JSON log"; fi
  End TERM 0
  if [ -e s.sock ]; then Fail "the socket is left behind"; else Pass; fi
fi
unset VLLM_API_KEY

# ---- the service manager is told ----
if command -v python3 >/dev/null 2>&1; then
  python3 - "$WORK/notify.sock" >notify.txt <<'PY' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(90)
seen = ""
while "STOPPING=1" not in seen:
    seen += s.recv(4096).decode() + "\n"
    print(seen, flush=True)
PY
  listener=$!
  for _ in $(seq 50); do [ -S notify.sock ] && break; sleep 0.1; done
  export NOTIFY_SOCKET=$WORK/notify.sock
  if Start "$TINY" --host 127.0.0.1; then
    End TERM 0
    wait "$listener"
    if grep -q 'READY=1' notify.txt && grep -q 'STOPPING=1' notify.txt; then Pass; else Fail "sd_notify: $(cat notify.txt)"; fi
  else
    kill "$listener"
  fi
  unset NOTIFY_SOCKET
fi

Finish
