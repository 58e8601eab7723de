import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Headers } from '../../api/schemas.ts';
import { showValue } from '../format.ts';
import { callApi } from '../state/api.ts';
import { dialogPin } from '../state/navigation.ts';
import { pinNames, pinSignal, qualityOf } from '../state/pins.ts';

type HeaderCell = Headers[number]['rows'][number][number];

const headers = signal<Headers | undefined>(undefined);

const legend = [
  ['power', 'power'],
  ['ground', 'ground'],
  ['line', 'free'],
  ['bus', 'bus'],
  ['used', 'in use'],
] as const;

/** The connectors of the board as they lie on it, with the pins and their values. */
export function BoardView() {
  useEffect(() => {
    callApi<Headers>('GET', '/api/headers').then(
      (found) => {
        headers.value = found;
      },
      // The connection state shows the error.
      () => undefined,
    );
  }, []);
  const found = headers.value;
  return (
    <>
      <div class="toolbar">
        <h2>Board</h2>
        <p class="legend">
          {legend.map(([look, text]) => (
            <span key={look}>
              <span class={`dot is-${look}`} /> {text}
            </span>
          ))}
        </p>
      </div>
      {found?.length === 0 && (
        <p class="nothing">There is nothing to draw: no board is named, or it has no pin header.</p>
      )}
      {found?.map(({ title, connector, rows }) => (
        <section key={connector} class="header-drawing" aria-label={`${connector}, ${title}`}>
          <h3>
            {title} <small>{connector}</small>
          </h3>
          <table>
            <tbody>
              {rows.map((row) => (
                <tr key={row[0]?.position}>
                  {row.map((cell, side) => (
                    <HeaderPosition key={cell.position} cell={cell} right={side === 1} />
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      ))}
    </>
  );
}

/** One position of a connector: its name and pin outside, its pad in the middle. */
function HeaderPosition({ cell, right }: { cell: HeaderCell; right: boolean }) {
  const { position, kind, name, aliases, bus, use } = cell;
  const look = use !== undefined ? 'is-used' : bus !== undefined ? 'is-bus' : `is-${kind}`;
  const text = (
    <td class={`place ${right ? 'is-right' : 'is-left'}`}>
      {use !== undefined && <PinButton name={use} />}
      <span class="line-name">
        {name} {use === undefined && <small>{bus ?? aliases.join(' ')}</small>}
      </span>
    </td>
  );
  const pad = (
    <td class={`pad ${look}`}>
      <span>{position}</span>
    </td>
  );
  return right ? (
    <>
      {pad}
      {text}
    </>
  ) : (
    <>
      {text}
      {pad}
    </>
  );
}

function PinButton({ name }: { name: string }) {
  if (!pinNames.value.includes(name)) return <b>{name}</b>;
  const pin = pinSignal(name).value;
  return (
    <button type="button" class={`use is-${qualityOf(pin)}`} onClick={() => (dialogPin.value = name)}>
      <b>{name}</b>
      <span class={`level ${pin.report?.['val'] === true ? 'on' : ''}`}>{showValue(pin)}</span>
    </button>
  );
}
