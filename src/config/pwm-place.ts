import type { BoardLine, PwmLine } from '../board/board.ts';
import { comesOut } from '../board/pwm-route.ts';
import { thisMachine } from './context.ts';
import type { Located } from './located.ts';
import type { PinPlace, Surroundings } from './pin-place.ts';
import { portOnChip } from './port-section.ts';

/** What this process itself switches: more often than that it cannot be on time. */
const SOFTWARE_HZ = 50;

/** The keys of a pin that the processor's own PWM can follow: it can be neither open-drain nor biased. */
const PLAIN_KEYS = ['gpio', 'pwm'];

/**
 * The place of a pin with `pwm:`, a port of driver pwm, when the processor's PWM comes out at its line. `by software`: this
 * process has to switch the line, which is reported if more was to be had. Undefined: neither can, which is reported.
 */
export function pwmPlace(
  keys: ReadonlyMap<string, Located>,
  line: BoardLine,
  around: Surroundings,
): PinPlace | 'by software' | undefined {
  const { board, ports, context, problems } = around;
  const [gpio, pwm] = [keys.get('gpio'), keys.get('pwm')];
  if (gpio === undefined || pwm?.node.kind !== 'scalar') return 'by software';
  const machine = context.machine ?? thisMachine;
  const channel = board.board?.pwmOf(line);
  const fast = Number(pwm.node.value) > SOFTWARE_HZ;
  const plain = [...keys.keys()].every((key) => PLAIN_KEYS.includes(key));
  if (channel === undefined || !(plain || fast)) return fast ? tooFast(pwm, others(around), around) : 'by software';
  // A simulated computer has everything; what another one than this has cannot be seen here.
  const seen = board.here && context.mock !== true;
  if (seen && !comesOut(channel, machine)) {
    const cure = `${channel.enable}, and a restart of the computer`;
    if (fast) return tooFast(pwm, cure, around);
    const message = 'the processor’s PWM does not come out at this line: software switches it, an edge up to 2 ms late';
    problems.warning(pwm.at, pwm.path, message, { expected: cure });
    return 'by software';
  }
  if (!seen && machine.exists(`/sys/bus/platform/devices/${channel.chip}`)) {
    const message =
      'whether the processor’s PWM comes out at this line cannot be seen here: this computer is not known';
    problems.warning(pwm.at, pwm.path, message, { expected: channel.enable });
  }
  const port = portOnChip(ports, 'pwm', channel.chip, line.mock, context);
  if (port) return { port, keys: channelKeys(keys, channel, { gpio, pwm }), lines: [line] };
  problems.wrong(gpio, `the PWM chip ${channel.chip} cannot be used`, { expected: 'a driver pwm' });
  return undefined;
}

function others({ board }: Surroundings): string {
  const names = board.board?.pwmLines() ?? [];
  return names.length === 0 ? 'a PWM chip and driver pwm' : `one of ${names.join(', ')}`;
}

function tooFast(pwm: Located, cure: string, { problems }: Surroundings): undefined {
  problems.wrong(
    pwm,
    `the processor’s PWM does not come out at this line, and software switches ${SOFTWARE_HZ} times a second at most`,
    { expected: `${cure}; or ${SOFTWARE_HZ} or less` },
  );
}

/** The pin's keys as driver pwm wants them. */
function channelKeys(
  keys: ReadonlyMap<string, Located>,
  { channel }: PwmLine,
  { gpio, pwm }: { readonly gpio: Located; readonly pwm: Located },
): Map<string, Located> {
  const number: Located = { ...gpio, node: { kind: 'scalar', value: channel, text: String(channel) } };
  const rest = [...keys].filter(([key]) => !PLAIN_KEYS.includes(key));
  return new Map([...rest, ['pwm', number], ['frequency', pwm]]);
}
