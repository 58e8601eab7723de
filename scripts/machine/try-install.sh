# Runs inside the root that test-install made, as its shell: try-install.sh ARCH
arch=$1
begun=$(date +%s)
lap() { echo "  $(($(date +%s) - begun)) s: $1"; }
fail() { echo "  FAILED: $1"; cat /tmp/agent.log 2> /dev/null; exit 1; }

for tool in grep sed seq; do command -v $tool > /dev/null || fail "no $tool"; done
for compiler in cc gcc g++ make python3; do
  if command -v $compiler > /dev/null; then fail "$compiler is here: nothing would be proved"; fi
done
lap "$(node -p '"Node.js " + process.version + ", " + process.arch')"

# On armhf ZeroMQ has no binary: the agent has to report it, and everything else has to work.
excused=
[ "$arch" != armhf ] || excused=zeromq

try() {
  npm install -g --prefix "/opt/$1" $2 /given/dcs-io.tgz > /tmp/npm.log 2>&1 || { cat /tmp/npm.log; fail "npm install $2"; }
  lap "npm install -g $2"
  cp /given/load-all.mjs "/opt/$1/lib/node_modules/dcs-io/"
  # shellcheck disable=SC2086
  node "/opt/$1/lib/node_modules/dcs-io/load-all.mjs" $excused || fail 'a dependency does not load'
  lap 'every dependency loads'
}
try with-scripts ''
try without-scripts --ignore-scripts
PATH=/opt/without-scripts/bin:$PATH

mkdir /tmp/site
cd /tmp/site
cat > dcs-io.yaml << 'END'
node: site
board: raspberry-pi-4b
bus: { listen: 127.0.0.1 }
web: { listen: "127.0.0.1:8080" }
pins: { green-led: { gpio: GPIO17, direction: out, initial: false, safe: false } }
END
dcs-io check > /dev/null || fail 'dcs-io check'
if [ "$arch" = armhf ]; then
  if dcs-io run --mock > /tmp/agent.log 2>&1; then fail 'the agent runs without a bus it was told to have'; fi
  grep -q 'ZeroMQ has no binary for this system (linux arm).*64-bit Raspberry Pi OS' /tmp/agent.log || fail 'a clear message'
  lap 'the agent says what is missing'
  dcs-io init --yes -c first.yaml > /dev/null 2>&1 || fail 'dcs-io init'
  grep -q '^bus: { enabled: false }' first.yaml || fail 'dcs-io init asks for a bus that cannot be'
  lap 'dcs-io init knows it'
  sed -i 's/^bus:.*/bus: { enabled: false }/' dcs-io.yaml
fi

dcs-io run --mock > /tmp/agent.log 2>&1 &
agent=$!
for second in $(seq 120); do
  grep -q 'is running with 1 pin' /tmp/agent.log && break
  kill -0 $agent || fail 'the agent has ended'
  sleep 1
done
lap 'the agent runs on simulated hardware'
# Commands go over HTTP on every processor, and over the bus where ZeroMQ loads.
node -e '
fetch("http://127.0.0.1:8080/api/pins/green-led", {
  method: "PUT",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ val: true }),
}).then(async (answer) => {
  const text = await answer.text();
  if (!answer.ok || !/"val":\s*true/.test(text)) throw new Error(`${answer.status} ${text}`);
});' || fail 'a command over HTTP'
lap 'it answers over HTTP'
if [ "$arch" != armhf ]; then
  dcs-io set green-led off | grep -q off || fail 'dcs-io set'
  lap 'it answers dcs-io set'
fi
kill -TERM $agent
wait $agent || fail "the agent ended with $?"
lap 'it ends in good order'
