import { computed, signal } from '@preact/signals';

export const views = ['pins', 'trends', 'messages', 'system', 'board'] as const;
export type View = (typeof views)[number];

const hash = signal(location.hash);
addEventListener('hashchange', () => {
  hash.value = location.hash;
});

/** The view in the location hash: `#trends/tank-level,pump`. */
export const view = computed<View>(() => {
  const [, name = ''] = /^#(\w+)/.exec(hash.value) ?? [];
  return views.find((one) => one === name) ?? 'pins';
});

/** The pin names behind the view in the location hash. */
export const chosenNames = computed<readonly string[]>(() => {
  const [, rest = ''] = /^#\w+\/(.*)$/.exec(hash.value) ?? [];
  return rest === '' ? [] : rest.split(',').map(decodeURIComponent);
});

export function hashOf(to: View, names: readonly string[] = []): string {
  return names.length === 0 ? `#${to}` : `#${to}/${names.map(encodeURIComponent).join(',')}`;
}

/** Name of the pin whose dialog is open. */
export const dialogPin = signal<string | undefined>(undefined);
