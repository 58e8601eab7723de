import { WebClient } from './web-client.js';

/** Where the agent is and who this page is: `?agent=http://pi:8080&token=…&pin=green-led`. */
const { agent, token, pin = 'green-led' } = Object.fromEntries(new URLSearchParams(location.search));
const lamp = document.querySelector('#lamp');
const said = document.querySelector('#said');
const client = new WebClient(agent ?? location.href, { token });

client.on((subject, data) => {
  if (subject === 'WebClosed') lamp.disabled = true;
  if (subject === 'WebSession') lamp.disabled = false;
  // A report is what the pin is; the button shows nothing else.
  if (subject === 'IoMessage' && data.pin_name === pin && data.last_change !== undefined) {
    lamp.textContent = `${pin} is ${data.val ? 'on' : 'off'} (${data.quality})`;
  }
});

lamp.addEventListener('click', async () => {
  try {
    await client.set(pin, !client.pins.get(pin)?.val);
    said.textContent = 'done';
  } catch (error) {
    said.textContent = `${error.code}: ${error.message}`;
  }
});
