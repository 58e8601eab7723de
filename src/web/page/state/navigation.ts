import { computed, signal } from '@preact/signals';

export const views = ['pins', 'trends', 'messages', 'system', 'board'] as const;
export type View = (typeof views)[number];

const hash = signal(location.hash);
addEventListener('hashchange', () => {
  hash.value = location.hash;
});

/** The view the address names: `#trends/tank-level,pump`. */
export const view = computed<View>(() => {
  const [, name = ''] = /^#(\w+)/.exec(hash.value) ?? [];
  return views.find((one) => one === name) ?? 'pins';
});

/** What stands behind the view's name, as a list of names. */
export const chosenNames = computed<readonly string[]>(() => {
  const [, rest = ''] = /^#\w+\/(.*)$/.exec(hash.value) ?? [];
  return rest === '' ? [] : rest.split(',').map(decodeURIComponent);
});

export function hashOf(to: View, names: readonly string[] = []): string {
  return names.length === 0 ? `#${to}` : `#${to}/${names.map(encodeURIComponent).join(',')}`;
}

/** The pin whose dialog is open. */
export const dialogPin = signal<string | undefined>(undefined);
