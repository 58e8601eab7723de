import { signal } from '@preact/signals';
import { Icon } from '../icons.tsx';
import { PinRow } from '../pins/pin-row.tsx';
import { session } from '../state/api.ts';
import { groupOf, type Pin, pinList } from '../state/pins.ts';

const searchText = signal('');

/** All pins in groups. */
export function PinsView() {
  const pins = pinList.value;
  const several = new Set(pins.map(({ node }) => node)).size > 1;
  const groups = new Map<string, Pin[]>();
  for (const pin of pins.filter(matchesSearch)) {
    const group = groupOf(pin, several);
    groups.set(group, [...(groups.get(group) ?? []), pin]);
  }
  return (
    <>
      <div class="toolbar">
        <h2 class="unseen">Pins</h2>
        <label class="search">
          <Icon name="search" />
          <span class="unseen">Find pins</span>
          <input
            type="search"
            placeholder={`Find in ${pins.length} pins`}
            value={searchText.value}
            onInput={({ currentTarget }) => (searchText.value = currentTarget.value)}
          />
        </label>
      </div>
      {groups.size === 0 && <p class="nothing">{pins.length === 0 ? 'No pin has reported yet.' : 'No pin matches.'}</p>}
      <div class="groups">
        {[...groups].sort(compareGroups).map(([name, members]) => (
          <section key={name} class="group" aria-labelledby={`group-${name}`}>
            <h3 id={`group-${name}`}>
              {name} <small>{members.length}</small>
            </h3>
            <ul>
              {members.map((pin) => (
                <PinRow key={pin.name} name={pin.name} />
              ))}
            </ul>
          </section>
        ))}
      </div>
    </>
  );
}

type Group = readonly [name: string, members: readonly Pin[]];

/** Sorts the groups of this node before those of others, then by name. */
function compareGroups([a, [first]]: Group, [b, [second]]: Group): number {
  const own = session.value?.node;
  const elsewhere = (pin: Pin | undefined) => Number(pin?.node !== own);
  return elsewhere(first) - elsewhere(second) || a.localeCompare(b, undefined, { numeric: true });
}

function matchesSearch({ name, facts }: Pin): boolean {
  const text = searchText.value.trim().toLowerCase();
  return text === '' || `${name} ${facts.label ?? ''} ${facts.port ?? ''}`.toLowerCase().includes(text);
}
