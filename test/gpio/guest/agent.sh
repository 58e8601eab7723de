#!/bin/bash
# Runs a compiled agent in the rig and does to its hardware what a file in /run/share asks for. Argument: the build.
share=/run/share
start() { node "$1/src/cli/main.js" run -c $share/dcs-io.yaml >>$share/agent.log 2>&1 & agent=$!; }
asked() { [ -e "$share/$1" ] && rm "$share/$1"; }
start "$1"
until [ -e $share/stop ]; do
  # A chip that returns while somebody has the old one open gets another number.
  sim=$(echo /sys/devices/platform/gpio-sim.*/gpiochip*)
  { cat $sim/sim_gpio3/value; gpioinfo rig; } >$share/state.new
  mv $share/state.new $share/state
  asked door-open && echo pull-up >$sim/sim_gpio0/pull
  asked door-close && echo pull-down >$sim/sim_gpio0/pull
  if asked pulses; then
    for _ in {1..25}; do
      echo pull-up >$sim/sim_gpio1/pull
      echo pull-down >$sim/sim_gpio1/pull
    done
  fi
  if asked turn; then
    for pull in 5/pull-up 6/pull-up 5/pull-down 6/pull-down; do echo ${pull#*/} >$sim/sim_gpio${pull%/*}/pull; done
  fi
  asked unplug && echo 0 >/sys/kernel/config/gpio-sim/rig/live
  asked plug && echo 1 >/sys/kernel/config/gpio-sim/rig/live
  if asked kill; then
    kill -9 $agent
    wait $agent
    gpioinfo rig >$share/after-kill
    start "$1"
  fi
  sleep 0.1
done
kill -TERM $agent
wait $agent
echo $? >$share/agent-status
gpioinfo rig >$share/after-stop
node "$1/src/cli/main.js" release -c $share/dcs-io.yaml
gpioinfo rig >$share/after-release.new
mv $share/after-release.new $share/after-release
