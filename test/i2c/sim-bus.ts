import { type I2cBus, transferError } from '../../drivers/i2c/bus.ts';

/** A chip on a simulated bus: gets what was written, gives what is read. */
export interface SimChip {
  transfer(write: Uint8Array, length: number): number[];
}

/** A bus whose chips can be taken off; the adapter itself can go, too. */
export class SimBus implements I2cBus {
  readonly name = '/dev/i2c-1';
  readonly chips = new Map<number, SimChip>();
  /** Every transfer, as `20: 12 ff > 1`. */
  readonly transfers: string[] = [];
  gone = false;
  /** Fails the next transfers with this code. */
  fault: string | undefined;

  #busy = false;

  /** Takes a moment, as the real one does, and allows no second transfer meanwhile. */
  async transfer(address: number, write: Uint8Array, length: number): Promise<Buffer> {
    if (this.#busy) throw new Error('two transfers at once');
    this.#busy = true;
    await Promise.resolve();
    this.#busy = false;
    this.transfers.push(`${address.toString(16)}: ${Buffer.from(write).toString('hex')} > ${length}`);
    if (this.gone) throw transferError(this.name, address, 'ENODEV');
    if (this.fault !== undefined) throw transferError(this.name, address, this.fault);
    const chip = this.chips.get(address);
    if (!chip) throw transferError(this.name, address, 'EREMOTEIO');
    return Buffer.from(chip.transfer(write, length));
  }

  close(): void {}
}

/** 256 registers of a byte, the first byte written chooses; it counts up by itself. */
export class RegisterChip implements SimChip {
  readonly registers = new Uint8Array(256);
  /** Registers in the order they were written. */
  readonly written: number[] = [];
  /** What a read of a register gives, where it is not what is stored. */
  readonly computed = new Map<number, () => number>();

  transfer(write: Uint8Array, length: number): number[] {
    const [register = 0, ...bytes] = write;
    for (const [at, byte] of bytes.entries()) {
      this.registers[(register + at) & 0xff] = byte;
      this.written.push((register + at) & 0xff);
    }
    return Array.from({ length }, (_, at) => {
      const place = (register + at) & 0xff;
      return this.computed.get(place)?.() ?? this.registers[place] ?? 0;
    });
  }
}

/** MCP23017: inputs show their legs, outputs what their latch drives. */
export class Mcp23017 extends RegisterChip {
  legs = 0;

  constructor() {
    super();
    this.power();
  }

  /** As after power-on. */
  power(): void {
    this.registers.fill(0);
    this.registers.fill(0xff, 0, 2);
    for (const port of [0, 1]) {
      this.computed.set(0x12 + port, () => {
        const inputs = this.registers[port] ?? 0;
        return ((this.legs >> (8 * port)) & inputs) | ((this.registers[0x14 + port] ?? 0) & ~inputs & 0xff);
      });
    }
  }

  /** What the legs of port A drive: undefined for inputs. */
  driven(bit: number): boolean | undefined {
    if (((this.registers[0] ?? 0) >> bit) & 1) return undefined;
    return (((this.registers[0x14] ?? 0) >> bit) & 1) === 1;
  }
}

/** PCF8574: a byte out is the latch, a byte in the legs; a leg is low when either side pulls it low. */
export class Pcf8574 implements SimChip {
  latch = 0xff;
  outside = 0xff;

  transfer(write: Uint8Array, length: number): number[] {
    for (const byte of write) this.latch = byte;
    return Array.from({ length }, () => this.latch & this.outside);
  }
}
