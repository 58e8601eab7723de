import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { showNumber, showTime, showValue } from '../format.ts';
import { chosenNames, hashOf } from '../state/navigation.ts';
import { type Pin, pinList, pinSignal, series } from '../state/pins.ts';
import 'uplot/dist/uPlot.min.css';
import { now } from '../state/clock.ts';

const span = signal(300);
const spans = [
  ['1 min', 60],
  ['5 min', 300],
  ['10 min', 600],
  ['1 h', 3600],
] as const;
/** Number of pins shown when none is selected. */
const DEFAULT_COUNT = 4;

/** Charts of the selected pins, one below the other with a common time axis. */
export function TrendsView() {
  const pins = pinList.value.filter(({ facts }) => facts.kind !== 'text');
  const names = chosenNames.value.length > 0 ? chosenNames.value : defaultPins(pins);
  const toggle = (name: string) => {
    const next = names.includes(name) ? names.filter((one) => one !== name) : [...names, name];
    location.replace(hashOf('trends', next));
  };
  return (
    <>
      <div class="toolbar">
        <h2>Trends</h2>
        <fieldset class="segments">
          <legend class="unseen">How far back</legend>
          {spans.map(([label, seconds]) => (
            <label key={seconds}>
              <input
                type="radio"
                name="span"
                checked={span.value === seconds}
                onChange={() => (span.value = seconds)}
              />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
      </div>
      <fieldset class="chips">
        <legend class="unseen">Pins shown</legend>
        {pins.map(({ name }) => (
          <label key={name}>
            <input type="checkbox" checked={names.includes(name)} onChange={() => toggle(name)} />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      <div class="strips">
        {names
          .flatMap((name) => pins.find((pin) => pin.name === name) ?? [])
          .map((pin) => (
            <section key={pin.name} class="strip" aria-label={pin.name}>
              <h3>
                {pin.name} <CurrentValue name={pin.name} />
              </h3>
              <TrendChart name={pin.name} span={span.value} height={pin.facts.kind === 'digital' ? 96 : 170} />
            </section>
          ))}
      </div>
    </>
  );
}

function CurrentValue({ name }: { name: string }) {
  const pin = pinSignal(name).value;
  return (
    <span>
      {showValue(pin)} {pin.facts.uom}
    </span>
  );
}

/** Returns the pins shown by default: numeric inputs first, then numeric outputs, then digital pins. */
function defaultPins(pins: readonly Pin[]): string[] {
  const rank = ({ facts }: Pin) => (facts.kind === 'digital' ? 2 : 0) + (facts.direction === 'out' ? 1 : 0);
  return [...pins]
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, DEFAULT_COUNT)
    .map(({ name }) => name);
}

/** uPlot sync key: the cursors of all charts move together. */
const CURSOR_GROUP = 'trends';

interface ChartProps {
  readonly name: string;
  /** Time shown (s), up to now. */
  readonly span: number;
  readonly height: number;
}

/** The values of a pin as a stepped line, with gaps where the value was unknown. */
export function TrendChart({ name, span, height }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLParagraphElement>(null);
  const chart = useRef<uPlot | undefined>(undefined);
  // peek(): the chart renders once a second, not for every report.
  const { kind, uom = '' } = pinSignal(name).peek().facts;
  useEffect(() => {
    const host = place.current;
    if (!host) return;
    const digital = kind === 'digital';
    const made = new uPlot(chartOptions(digital, uom, host, height), [[], []], host);
    const read = (plot: uPlot) => {
      if (readout.current) readout.current.textContent = valueAt(plot, digital, uom);
    };
    made.hooks.setCursor = [read];
    chart.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: host.clientWidth, height }));
    fit.observe(host);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const repaint = () => made.redraw();
    dark.addEventListener('change', repaint);
    return () => {
      fit.disconnect();
      dark.removeEventListener('change', repaint);
      made.destroy();
      chart.current = undefined;
    };
  }, [name, kind, uom, height]);
  const to = now.value;
  useEffect(() => {
    const { t, v } = series(name).window(to - span, to);
    chart.current?.setData([t, v], false);
    chart.current?.setScale('x', { min: to - span, max: to });
  });
  const { v } = series(name).window(to - span, to);
  return (
    <div class="chart" ref={place} role="img" aria-label={describeTrend(name, v, uom)}>
      <p class="readout" ref={readout} />
    </div>
  );
}

/** Returns time and value at the cursor. */
function valueAt(plot: uPlot, digital: boolean, uom: string): string {
  const { left } = plot.cursor;
  if (left === undefined || left < 0) return '';
  const time = plot.posToVal(left, 'x');
  const [times, values] = plot.data;
  let at = -1;
  while (at + 1 < times.length && (times[at + 1] ?? time) <= time) at++;
  const value = values?.[at];
  if (value === undefined || value === null) return `${showTime(time)}  not known`;
  return `${showTime(time)}  ${digital ? showDigital(value) : `${showNumber(value)} ${uom}`}`;
}

function showDigital(value: number): string {
  return value === 1 ? 'on' : value === 0 ? 'off' : '';
}

function chartOptions(digital: boolean, uom: string, host: HTMLElement, height: number): uPlot.Options {
  const colour = (property: string) => () => getComputedStyle(host).getPropertyValue(property).trim();
  const axis = { stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  return {
    width: host.clientWidth || 300,
    height,
    legend: { show: false },
    cursor: { sync: { key: CURSOR_GROUP }, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: true }, y: digital ? { range: [-0.15, 1.15] } : { range: yRange } },
    axes: [
      {
        ...axis,
        values: (_, times) => times.map((time) => showTime(time).slice(0, time % 60 === 0 ? 5 : 8)),
        space: 70,
        size: 28,
      },
      {
        ...axis,
        size: 56,
        ...(digital && { splits: () => [0, 1] }),
        values: (_, values) => values.map((value) => (digital ? showDigital(value) : showNumber(value))),
      },
    ],
    series: [
      {},
      {
        stroke: colour('--accent'),
        fill: colour('--accent-faint'),
        width: 1.5,
        label: uom,
        points: { show: false },
        ...(stepped && { paths: stepped }),
      },
    ],
  };
}

/** Adds a margin above and below, also for a constant value. */
function yRange(_: uPlot, low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

function describeTrend(name: string, values: readonly (number | null)[], uom: string): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return `${name}: nothing known in this time`;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return `${name}: ${showNumber(low)} to ${showNumber(high)} ${uom}`;
}
