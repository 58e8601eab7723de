const MAX_POINTS = 4000;

/** Times (unix seconds) and the value from each on; null: nobody knew. */
export class Series {
  t: number[] = [];
  v: (number | null)[] = [];

  /** Takes over what the agent remembers; what came in meanwhile stays behind it. */
  fill(t: readonly number[], v: readonly (number | null)[]): void {
    const last = t.at(-1) ?? 0;
    const from = this.t.findIndex((time) => time > last);
    this.t = [...t, ...(from < 0 ? [] : this.t.slice(from))];
    this.v = [...v, ...(from < 0 ? [] : this.v.slice(from))];
  }

  push(time: number, value: number | null): void {
    if (this.v.length > 0 && this.v.at(-1) === value) return;
    this.t.push(Math.max(time, this.t.at(-1) ?? 0));
    this.v.push(value);
    if (this.t.length <= MAX_POINTS) return;
    this.t = this.t.slice(MAX_POINTS / 4);
    this.v = this.v.slice(MAX_POINTS / 4);
  }

  /** The part from `from` to `to`, with the values that stand at both ends. */
  window(from: number, to: number): { t: number[]; v: (number | null)[] } {
    let first = 0;
    while (first + 1 < this.t.length && (this.t[first + 1] ?? to) <= from) first++;
    const t = this.t.slice(first);
    const v = this.v.slice(first);
    if (t[0] !== undefined && t[0] < from) t[0] = from;
    if (t.length > 0) {
      t.push(Math.max(to, t.at(-1) ?? to));
      v.push(v.at(-1) ?? null);
    }
    return { t, v };
  }
}
