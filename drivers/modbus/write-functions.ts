import { z } from 'zod';

const FUNCTIONS = { coil: [5, 15], register: [6, 16], bits: [22, 'read-modify-write'] } as const;

/** What a request writes: a coil, a register, several registers, or some bits of one register. */
export type WriteTarget = keyof typeof FUNCTIONS | 'registers';
/** The function code that a write uses, or the reading and writing of a register in one go. */
export type WriteFunction = (typeof FUNCTIONS)[keyof typeof FUNCTIONS][number];

const learned = 'default: learned from the device';

/** The functions that outputs are written with, of a port, device or pin. */
export const writeSchema = z.strictObject({
  coil: z.literal(FUNCTIONS.coil).optional().describe(`function that writes a coil: 5 or 15; ${learned}`),
  register: z
    .literal(FUNCTIONS.register)
    .optional()
    .describe(
      `function that writes registers: 6 or 16; ${learned}. With 6 the registers of a longer value are written one after the other`,
    ),
  bits: z
    .literal(FUNCTIONS.bits)
    .optional()
    .describe(`function that writes bits of a register: 22, or read-modify-write; ${learned}`),
});
export type WriteKeys = z.output<typeof writeSchema>;

/** The functions to try for one target. */
interface Candidates {
  /** The first to try first. */
  readonly functions: readonly WriteFunction[];
  /** The first has written this output before: it is refused for its value or its state, not for its function. */
  readonly proven: boolean;
}

/** The functions to try for one output. Plain data: a crash plan takes it to another process. */
export type FunctionChoice = Readonly<Record<WriteTarget, Candidates>>;

/** `firstOf`: the function to try first; `undefined` when nothing is known of the device. */
function choiceOf(
  keys: WriteKeys,
  firstOf: (target: WriteTarget) => { readonly fn: WriteFunction; readonly proven: boolean } | undefined,
): FunctionChoice {
  const candidates = (target: keyof typeof FUNCTIONS): Candidates => {
    const stated = keys[target];
    if (stated !== undefined) return { functions: [stated], proven: false };
    const first = firstOf(target);
    const others: readonly WriteFunction[] = FUNCTIONS[target];
    if (!first) return { functions: others, proven: false };
    return { functions: [first.fn, ...others.filter((fn) => fn !== first.fn)], proven: first.proven };
  };
  return {
    coil: candidates('coil'),
    register: candidates('register'),
    // Never learned: between two requests with function 6 the device has half of the value.
    registers: { functions: [keys.register ?? 16], proven: false },
    bits: candidates('bits'),
  };
}

/** The choice for a device that nothing is known of. */
export function statedChoice(keys: WriteKeys = {}): FunctionChoice {
  return choiceOf(keys, () => undefined);
}

/**
 * Returns the choice with the first function of each target moved to the end. One that has written the output before keeps its
 * place unless it was `tried` in vain.
 */
export function rotated(choice: FunctionChoice, tried: boolean): FunctionChoice {
  const turn = (candidates: Candidates): Candidates => {
    const [first, ...others] = candidates.functions;
    if (first === undefined || (candidates.proven && !tried)) return candidates;
    return { functions: [...others, first], proven: false };
  };
  return { ...choice, coil: turn(choice.coil), register: turn(choice.register), bits: turn(choice.bits) };
}

/** Returns the choice without a function. */
function without(choice: FunctionChoice, { target, fn }: Sent): FunctionChoice {
  const functions = choice[target].functions.filter((one) => one !== fn);
  return { ...choice, [target]: { functions, proven: false } };
}

/** The output whose functions are chosen. */
export interface WrittenOutput {
  readonly unit: number;
  readonly key: string;
  readonly keys: WriteKeys;
}

/** A function that did not write, and the evidence. */
export interface RejectedFunction {
  readonly fn: WriteFunction;
  /** `refuses function 6 (exception 1)`. */
  readonly evidence: string;
  /** The device does not know the function at all, whatever the address. */
  readonly everywhere: boolean;
}

/** Called with what a write shows about the functions of its device. */
export interface FunctionNotes {
  /** A request with this function is about to be sent. */
  sending(target: WriteTarget, fn: WriteFunction): void;
  /** The device has carried it out, after it has rejected another function. */
  worked(target: WriteTarget, fn: WriteFunction, rejected: RejectedFunction | undefined): void;
}

/** One write under way. */
export interface WriteAttempt extends FunctionNotes {
  readonly choice: FunctionChoice;
  /**
   * Returns the attempt with another function, after a request got no answer: a device may ignore a function that it does not
   * know. `undefined` when the unit has answered this function before, or no other one is left.
   */
  afterSilence(): WriteAttempt | undefined;
}

interface Sent {
  readonly target: WriteTarget;
  readonly fn: WriteFunction;
}

const TARGET_NAMES = {
  coil: 'coils',
  register: 'registers',
  registers: 'registers',
  bits: 'bits of registers',
} as const;

/**
 * Remembers, for each device, the functions that it takes writes with. A function that is unknown to the device (exception 1,
 * or no answer) is not tried first again on any output of the unit; one that is refused at an address (exceptions 2 and 3) not
 * on that output.
 */
export class WriteFunctions {
  readonly #learned: (message: string) => void;
  readonly #ofUnit = new Map<number, Map<WriteTarget, WriteFunction>>();
  readonly #ofOutput = new Map<string, Sent & { readonly unit: number }>();
  /** Functions that a unit has carried out. */
  readonly #known = new Map<number, Set<WriteFunction>>();

  /** `learned`: called when outputs are written with another function from now on. */
  constructor(learned: (message: string) => void) {
    this.#learned = learned;
  }

  choiceFor({ unit, key, keys }: WrittenOutput): FunctionChoice {
    return choiceOf(keys, (target) => {
      const proven = this.#ofOutput.get(outputKey(key, target))?.fn;
      const fn = proven ?? this.#ofUnit.get(unit)?.get(target);
      return fn === undefined ? undefined : { fn, proven: proven !== undefined };
    });
  }

  attempt(output: WrittenOutput): WriteAttempt {
    return this.#attempt(output, this.choiceFor(output));
  }

  /** The unit was away: it may be another device now, or have other firmware. */
  forget(unit: number): void {
    this.#ofUnit.delete(unit);
    this.#known.delete(unit);
    for (const [key, known] of this.#ofOutput) if (known.unit === unit) this.#ofOutput.delete(key);
  }

  #attempt(output: WrittenOutput, choice: FunctionChoice, silent?: Sent): WriteAttempt {
    let last: Sent | undefined;
    return {
      choice,
      sending: (target, fn) => {
        last = { target, fn };
      },
      worked: (target, fn, rejected) => {
        const ignored = silent?.target === target && {
          fn: silent.fn,
          evidence: `does not answer ${functionName(silent.fn)}`,
          everywhere: true,
        };
        this.#note(output, { target, fn }, rejected ?? (ignored || undefined));
      },
      afterSilence: () => {
        if (!last || this.#known.get(output.unit)?.has(last.fn)) return undefined;
        const others = without(choice, last);
        return others[last.target].functions.length === 0 ? undefined : this.#attempt(output, others, last);
      },
    };
  }

  #note({ unit, key }: WrittenOutput, { target, fn }: Sent, rejected: RejectedFunction | undefined): void {
    const known = this.#known.get(unit) ?? new Set();
    this.#known.set(unit, known.add(fn));
    const before = this.#ofOutput.get(outputKey(key, target))?.fn;
    this.#ofOutput.set(outputKey(key, target), { unit, target, fn });
    if (!rejected || before === fn) return;
    const { evidence, everywhere } = rejected;
    if (everywhere) this.#ofUnit.set(unit, new Map(this.#ofUnit.get(unit)).set(target, fn));
    const where = everywhere ? `unit ${unit}` : `${key}: the device`;
    const what = everywhere ? `its ${TARGET_NAMES[target]} are` : 'it is';
    const stated = `write: { ${target}: ${fn} }`;
    this.#learned(`${where} ${evidence}; ${what} written with ${functionName(fn)} from now on, as ${stated} would say`);
  }
}

/** `function 6`, `read-modify-write`. */
export function functionName(fn: WriteFunction): string {
  return typeof fn === 'number' ? `function ${fn}` : fn;
}

function outputKey(key: string, target: WriteTarget): string {
  return `${target} ${key}`;
}
