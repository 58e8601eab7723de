import { execFileSync } from 'node:child_process';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { type ClientOptions, WebClient } from '../../src/web/client/web-client.ts';
import { AgentProcess } from '../support/agent-process.ts';

/** Pins of every kind, with outputs wired to inputs. */
export const PLANT = `
board: none
ports:
  sim: { driver: mock, loopback: [[pump, pump-seen], [speed, speed-seen]] }
  slow: { driver: mock, latency: 5s }
pins:
  pump: { port: sim, channel: pump, direction: out, initial: false, safe: false, label: feed pump }
  pump-seen: { port: sim, channel: pump-seen }
  speed: { port: sim, channel: speed, type: analog, direction: out, initial: 10, range: [0, 50], uom: Hz }
  speed-seen: { port: sim, channel: speed-seen, type: analog }
  slow: { port: slow, channel: slow, direction: out }
  "odd/näme:1": { port: sim, channel: odd, direction: out }
`;

/** An agent process with a web server. */
export class WebAgent {
  readonly agent: AgentProcess;
  readonly url: string;

  constructor(agent: AgentProcess, url: string) {
    this.agent = agent;
    this.url = url;
  }

  static async start(web = 'web: { listen: "127.0.0.1:0" }', plant = PLANT): Promise<WebAgent> {
    const agent = await AgentProcess.start(`${plant}\n${web}\n`);
    const url = /"url":"([^"]+)"/.exec(agent.log)?.[1];
    if (url === undefined) {
      await agent.stop('SIGKILL');
      throw new Error(`no web page: ${agent.log}`);
    }
    return new WebAgent(agent, url);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Sends a request. `json` is empty when the body is not JSON. */
  async http(method: string, path: string, options: { json?: unknown; headers?: Record<string, string> } = {}) {
    const { json, headers } = options;
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { ...(json !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: parsed(text) };
  }

  /** Creates a WebSocket client; `headers` stand for those that a browser sends by itself. */
  client(options: ClientOptions = {}, headers: Record<string, string> = {}): WebClient {
    const Socket = class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols, { headers });
      }
    };
    return new WebClient(this.url, { WebSocket: Socket, ...options });
  }

  async stop(): Promise<void> {
    await this.agent.stop('SIGKILL');
  }
}

/** Parses a JSON object; returns an empty one for anything else. */
export function parsed(text: string): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === 'object' && found !== null ? { ...found } : {};
  } catch {
    return {};
  }
}

/** Creates a self-signed certificate for localhost. */
export function makeCertificate(folder: string): { cert: string; key: string } {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const what = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  execFileSync('openssl', ['req', ...what, '-keyout', key, '-out', cert, ...names], { stdio: 'ignore' });
  return { cert, key };
}

/** Sends a GET, or a POST with a body, over TLS; only the given certificate is trusted. */
export function getTls(
  url: string,
  ca: string,
  body?: object,
): Promise<{ status: number | undefined; text: string; cookie: string | undefined; serial: string }> {
  return new Promise((resolve, reject) => {
    const how = body && { method: 'POST', headers: { 'content-type': 'application/json' } };
    const request = httpsRequest(url, { ca, agent: false, ...how }, (response) => {
      let text = '';
      response.on('data', (data) => {
        text += data;
      });
      const { statusCode: status, headers, socket } = response;
      const serial = socket instanceof TLSSocket ? socket.getPeerCertificate().serialNumber : '';
      response.on('end', () => resolve({ status, text, cookie: headers['set-cookie']?.[0], serial }));
    });
    request.once('error', reject);
    request.end(body && JSON.stringify(body));
  });
}
