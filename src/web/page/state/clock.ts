import { signal } from '@preact/signals';

/** Unix seconds by the agent's clock, a new value each second: ages and charts move with it. */
export const now = signal(Date.now() / 1000);
/** How far the agent's clock is ahead of this device's (s): a phone may be minutes off. */
let clockOffset = 0;

export function setAgentTime(unix: number): void {
  clockOffset = unix - Date.now() / 1000;
}

export function agentTime(): number {
  return Date.now() / 1000 + clockOffset;
}

export function startClock(): void {
  setInterval(() => {
    now.value = agentTime();
  }, 1000);
}
