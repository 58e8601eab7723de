import { Icon } from '../icons.tsx';
import { commandSignal } from '../state/pin-store.ts';

/** What became of the last command: asked, confirmed by the pin, or why not. */
export function Outcome({ name }: { name: string }) {
  const shown = commandSignal(name);
  const command = shown.value;
  return (
    <div class="outcome" role="status">
      {command?.state === 'asked' && (
        <p class="note is-asked">
          <span class="spinner" aria-hidden="true" /> asked for {String(command.val)}…
        </p>
      )}
      {command?.state === 'confirmed' && (
        <p class="note is-confirmed">
          <Icon name="check" /> confirmed
        </p>
      )}
      {command?.state === 'failed' && (
        <p class="note is-failed">
          <strong>not done</strong> {command.message}
          <button type="button" class="quiet" aria-label="Dismiss" onClick={() => (shown.value = undefined)}>
            <Icon name="close" />
          </button>
        </p>
      )}
    </div>
  );
}
