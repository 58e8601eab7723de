import { signal } from '@preact/signals';

/** Unix seconds by the agent's clock, updated each second for ages and charts. */
export const now = signal(Date.now() / 1000);
/** Agent's clock minus this device's clock (s): the clock of a phone may be minutes off. */
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
