#!/bin/bash
# In the rig: an agent with real lines, started anew whenever it ends; turns a water meter on line 1, tells on the console
# what line 3 is, and does what /run/share/order asks for. Argument: the project.
share=/run/share
mkdir -p /tmp/site && cd /tmp/site || exit 1
exec 9<> <(:)
level='' pulses=0 turning=1 ends=
nap() { read -rt "$1" -u 9; }
start() { node --max-old-space-size=96 "$1/dist/src/cli/main.js" run -c $share/dcs-io.yaml >>$share/agent.log 2>&1 & agent=$!; }
chip() { sim=$(echo /sys/devices/platform/gpio-sim.*/gpiochip*); }
pulse() { echo pull-up >"$sim/sim_gpio1/pull" && echo pull-down >"$sim/sim_gpio1/pull" && pulses=$((pulses + 1)); }
jump() { date -s "@$(($(date +%s) + $1))" >/dev/null; }
do_order() {
  case $1 in
    signal) kill "-$2" $agent ;;
    pause) { kill -STOP $agent; sleep "$2"; kill -CONT $agent; } & ;;
    burst) for ((n = 0; n < $2; n++)); do pulse; done ;;
    unplug) echo 0 >/sys/kernel/config/gpio-sim/rig/live ;;
    plug) echo 1 >/sys/kernel/config/gpio-sim/rig/live; chip ;;
    clock) jump "$2" ;;
    # Takes all the memory there is, until the kernel ends it.
    hog) { echo 1000 >/proc/$BASHPID/oom_score_adj; tail /dev/zero; echo 'the hog ended'; } & ;;
    hold) turning= ;;
    turn) turning=1 ;;
    end) ends=1; kill -TERM $agent; wait $agent; echo "ended $?" ;;
  esac
}
chip
start "$1"
until [ $ends ]; do
  now=
  read -r now <"$sim/sim_gpio3/value"
  [ "$now" = "$level" ] || echo "level ${now:-gone}"
  level=$now
  [ $turning ] && pulse
  if [ -s $share/order ]; then
    read -r order argument <$share/order
    rm $share/order
    do_order "$order" "$argument"
    echo "did $order $pulses"
  fi
  kill -0 $agent || { echo "the agent ended"; nap 0.2; start "$1"; }
  nap 0.02
done 2>/dev/null
read -r now <"$sim/sim_gpio3/value"
echo "level $now"
