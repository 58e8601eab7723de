import { basename } from 'node:path';
import { Actor } from '../bus/actor.ts';
import { Bus } from '../bus/bus.ts';
import { PinClient } from '../bus/pin-client.ts';
import { defaultPolicy, type Supervised, Supervisor, type SupervisorEvents } from '../bus/supervisor.ts';
import { type Clock, sleep, systemClock } from '../clock/clock.ts';
import type { ResolvedConfig, ResolvedPin, ResolvedPort } from '../config/resolved.ts';
import type { Channel } from '../driver/contract.ts';
import { DcsError, toDcsError } from '../errors/errors.ts';
import { ComputedPins } from '../io/computed-pins.ts';
import { createPin, FailedPin, openingValue, valueInForce } from '../io/create-pin.ts';
import type { ChannelHandle, ChannelPlan, PortEnvironment } from '../io/port-runner.ts';
import { PortRunner } from '../io/port-runner.ts';
import { StreamActor } from '../io/stream-actor.ts';
import type { Log } from '../log/log.ts';
import { Mesh } from '../mesh/mesh.ts';
import { KeptCounts, KeptOutputs, stateFile } from '../output/kept-state.ts';
import { Nodes } from '../output/nodes.ts';
import { PinTable } from '../output/pin-table.ts';
import type { WebServer } from '../web/web-server.ts';
import { Audit } from './audit.ts';
import { CrashProtection } from './crash-protection.ts';
import { HealthMonitor } from './health.ts';
import { loadActor } from './load-module.ts';
import { NodeActor } from './node-actor.ts';
import { addPinsToTable, computedPin, isCounter, pinActorName, pinInfo } from './pins.ts';
import { ServerActor } from './server-actor.ts';

export interface AgentOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** Version of the program, which the HTTP API shows. */
  readonly version?: string;
  /** All hardware is simulated, as under `dcs-io run --mock`. */
  readonly simulated?: boolean;
}

/** Limits for the hooks of one stop. Together they stay below 2 s, even when all of them hang. */
const USER_ACTOR_HOOK_MS = 400;
const PIN_HOOK_MS = 400;
const SERVER_HOOK_MS = 400;

/**
 * The whole agent: builds everything that a configuration names, starts it in order and stops it in reverse. A port that
 * cannot be opened, or an actor that cannot be loaded, harms only itself.
 */
export class Agent {
  readonly bus: Bus;
  /** Reads and commands its pins, in the name of the program that runs it. */
  readonly pins: PinClient;
  readonly ports = new Map<string, PortRunner>();
  /** The state of every pin, and the desired state of the outputs. Filled when the agent starts. */
  readonly table: PinTable;
  readonly #config: ResolvedConfig;
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #pinActors: Supervisor;
  readonly #streamActors: Supervisor;
  readonly #userActors: Supervisor;
  readonly #servers: Supervisor;
  readonly #serverCounters = new Map<string, Map<string, number>>();
  readonly #counts: KeptCounts;
  readonly #outputs: KeptOutputs;
  readonly #nodes: Nodes;
  readonly #crashProtection: CrashProtection;
  readonly #health: HealthMonitor;
  readonly #audit: Audit;
  readonly #computed: ComputedPins;
  #mesh: Mesh | undefined;
  #web: WebServer | undefined;
  #running = false;
  #stopping: Promise<void> | undefined;

  constructor(config: ResolvedConfig, options: AgentOptions) {
    this.#config = config;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#audit = new Audit(config, this.#clock, options.log);
    this.#log = this.#audit.log;
    this.bus = new Bus({ clock: this.#clock });
    const program = new Actor('program');
    this.bus.join(program);
    this.pins = new PinClient(program);
    this.table = new PinTable(this.#clock);
    this.#computed = new ComputedPins(config.pins.flatMap(computedPin), this.table);
    this.#nodes = new Nodes(this.#clock, config.node, (id) => this.bus.nameOf(id));
    const present = (actor: Actor, there: boolean) => this.#nodes.setActorPresence(actor.name, there);
    const supervisor = (hookMs: number, events: SupervisorEvents = {}) =>
      new Supervisor(this.bus, this.#log, { ...defaultPolicy, hookMs }, events);
    this.#pinActors = supervisor(PIN_HOOK_MS, { failed: (child) => this.#replaceFailedPin(child) });
    this.#streamActors = supervisor(PIN_HOOK_MS);
    this.#servers = supervisor(SERVER_HOOK_MS);
    this.#userActors = supervisor(USER_ACTOR_HOOK_MS, { presence: present });
    // A simulation must not change the counts and outputs of the real hardware.
    const folder = config.ports.some(({ mock }) => mock) ? undefined : config.state;
    const environment = { clock: this.#clock, log: this.#log };
    this.#counts = new KeptCounts(stateFile(folder, config.node, 'counts'), environment);
    this.#outputs = new KeptOutputs(stateFile(folder, config.node, 'outputs'), environment);
    this.#crashProtection = new CrashProtection(config, { ...options, clock: this.#clock, log: this.#log });
    const supervisors = [this.#pinActors, this.#streamActors, this.#servers, this.#userActors];
    this.#health = new HealthMonitor({ supervisors, ports: this.ports, pins: config.pins.length, ...environment });
  }

  /** Counters of everything in this process. */
  get stats(): Record<string, unknown> {
    const ports = [...this.ports.values()].map(({ name, state, reason, counters, metrics }) => ({
      name,
      state,
      ...(reason && { reason: reason.message }),
      ...Object.fromEntries(counters),
      ...metrics,
    }));
    const mesh = this.#mesh && { mesh: { ...this.#mesh.stats } };
    const servers = [...this.#serverCounters].map(([name, counters]) => ({ name, ...Object.fromEntries(counters) }));
    const guardian = this.#crashProtection.stats;
    const bus = { ...this.bus.stats };
    const loop = this.#health.loop.stats;
    const actors = this.#failedActors;
    return { bus, loop, ...mesh, ports, servers, actors, ...this.#audit.stats, ...(guardian && { guardian }) };
  }

  /** Actors that have failed. */
  get #failedActors(): { name: string; errors: number; restarts: number }[] {
    return [this.#pinActors, this.#streamActors, this.#userActors].flatMap(({ children }) =>
      children.filter(({ errors }) => errors > 0).map(({ name, errors, restarts }) => ({ name, errors, restarts })),
    );
  }

  /** Resolves when every port has been tried and every actor runs. Rejects only when the mesh cannot bind. */
  async start(): Promise<void> {
    const { bus } = this.#config;
    await this.#health.start();
    if (bus.enabled) {
      const mesh = new Mesh(this.bus, { ...bus, log: this.#log, name: this.#config.node });
      const delay = () => this.#health.loop.stats.delay_max_ms / 1000;
      mesh.describe(() => ({ pins: this.#config.pins.map(pinInfo), loop_delay: delay() }));
      this.#mesh = mesh;
      await mesh.start();
    }
    if (this.#config.pins.some(({ spec }) => isCounter(spec))) await this.#counts.load();
    await this.#outputs.load(this.#config.pins.some(({ spec }) => typeof spec.initial === 'object'));
    addPinsToTable(this.table, this.#config.pins, this.#outputs, this.#clock, this.#log);
    await this.#audit.start(this.#config, this.#streamActors, this.#nodes);
    await this.#crashProtection.takeOver();
    if (this.#stopping) return;
    for (const port of this.#config.ports) this.ports.set(port.name, this.#runner(port));
    await this.#addPins();
    if (this.#stopping) return;
    // At the same time: a PLC that is off must not delay the relays.
    await Promise.all([...this.ports.values()].map((runner) => runner.start()));
    await this.#crashProtection.finishTakeOver();
    if (this.#stopping) return;
    await this.#addServers();
    await this.#addUserActors();
    await this.#openWeb();
    this.#running = true;
    this.#health.ready();
    const pins = this.#config.pins.length;
    this.#log.info(
      { node: this.#config.node, pins, ports: this.ports.size },
      `${this.#config.node} is running with ${pins === 1 ? '1 pin' : `${pins} pins`}`,
    );
  }

  /** Stops everything: users' actors, then outputs to their exit values, then ports and mesh. Idempotent, ≤ 2 s. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(): Promise<void> {
    this.#running = false;
    this.#health.stopping();
    this.#web?.stop();
    // A port that is just being opened drives its outputs: their exit values have to come after that.
    const opened = Promise.all([...this.ports.values()].map((runner) => runner.settled));
    const settled = Promise.race([opened, sleep(this.#clock, PIN_HOOK_MS)]);
    await Promise.all([this.#userActors.stop(), this.#servers.stop(), settled]);
    await Promise.all([this.#pinActors.stop(), this.#streamActors.stop()]);
    this.#computed.close();
    await Promise.all([...this.ports.values()].map((runner) => runner.stop()));
    // Nothing drives an output any more, so the guardian may learn of the stop.
    await this.#crashProtection.stop();
    this.#nodes.close();
    await Promise.all([this.#counts.close(), this.#outputs.close(), this.#audit.stop()]);
    await this.#mesh?.stop();
    this.bus.close();
    this.#log.info(this.stats, 'stopped');
    this.#health.stop();
  }

  #runner({ name, driver, options }: ResolvedPort): PortRunner {
    const plans = this.#config.pins.filter(({ port }) => port === name).map((pin) => this.#plan(pin));
    const environment: PortEnvironment = {
      clock: this.#clock,
      log: this.#log,
      reclaim: () => this.#crashProtection.reclaim(name),
      opened: (port) => this.#crashProtection.portOpened(name, port, (pin) => this.#plan(pin).channel),
      lostPort: () => this.#crashProtection.portLost(name),
      lost: this.#crashProtection.outputsUnknown(name),
    };
    return new PortRunner(name, driver, options, plans, environment);
  }

  #plan({ spec, key, address }: ResolvedConfig['pins'][number]): ChannelPlan {
    const { kind, direction, debounceMs, uom } = spec;
    const channel: Channel = { key, kind, direction, address, debounceMs, ...(uom !== undefined && { uom }) };
    if (isCounter(spec)) {
      const { name } = spec;
      const counts = this.#counts;
      return { channel, openingValue: () => counts.get(name), counted: (count) => counts.set(name, count) };
    }
    const atOpen = (first: boolean) => {
      const entry = this.table.get(spec.name);
      return entry && openingValue(entry, first);
    };
    return {
      channel,
      openingValue: () => atOpen(true),
      returnValue: () => atOpen(false),
      ...(direction === 'out' && { valueInForce: () => valueInForce(this.table.get(spec.name)) }),
    };
  }

  async #addPins(): Promise<void> {
    const { node } = this.#config;
    const environment = { log: this.#log, table: this.table, nodes: this.#nodes, kept: this.#outputs };
    await this.#pinActors.add(`node ${node}`, () => new NodeActor(node, this.#nodes, () => this.#mesh?.announce()));
    for (const pin of this.#config.pins) {
      const handle = this.#handle(pin);
      const entry = this.table.get(pin.spec.name);
      if (!handle || !entry) continue;
      await this.#pinActors.add(pinActorName(pin.spec), () => createPin(entry, handle, environment));
    }
    for (const runner of this.ports.values()) {
      await this.#streamActors.add(`port ${runner.name}`, () => new StreamActor(runner, this.#log));
    }
  }

  #handle(pin: ResolvedPin): ChannelHandle | undefined {
    const computed = this.#computed.handle(pin.spec.name, pin.port);
    return computed ?? this.ports.get(pin.port)?.handle(this.#plan(pin).channel);
  }

  /** Replaces a pin whose actor was given up: it reports why and refuses every command, while the rest runs on. */
  #replaceFailedPin({ name, lastError }: Supervised): void {
    const pin = this.#config.pins.find(({ spec }) => pinActorName(spec) === name);
    if (!pin) return;
    const why = `it keeps failing and was given up: ${lastError}`;
    void this.#streamActors.add(name, () => new FailedPin(pin.spec, why, this.table));
  }

  async #addServers(): Promise<void> {
    const facts = new Map(this.#config.pins.map(({ spec: { name, kind, direction } }) => [name, { kind, direction }]));
    const portOf = (name: string) => {
      const runner = this.ports.get(name);
      if (runner) return runner.port;
      throw new DcsError('PORT_DOWN', `there is no port ${name}`);
    };
    for (const server of this.#config.servers ?? []) {
      const { name } = server;
      const counters = new Map<string, number>();
      this.#serverCounters.set(name, counters);
      await this.#servers.add(`server ${name}`, () => new ServerActor(server, facts, portOf, counters, this.#log));
    }
  }

  /** Loads the code of the web server only when it is configured, because loading it takes time. */
  async #openWeb(): Promise<void> {
    const { web } = this.#config;
    if (!web) return;
    const [{ WebServer }, { webHost }] = await Promise.all([import('../web/web-server.ts'), import('./web-host.ts')]);
    if (this.#stopping) return;
    this.#web = new WebServer(
      web,
      webHost(this.#config, {
        bus: this.bus,
        clock: this.#clock,
        log: this.#log,
        version: this.#options.version ?? '',
        ports: this.ports,
        mesh: this.#mesh,
        pins: () => this.#config.pins.map(pinInfo),
        actors: () => this.#failedActors,
        running: () => this.#running,
      }),
    );
    await this.#web.start();
  }

  async #addUserActors(): Promise<void> {
    for (const file of this.#config.actors) {
      try {
        const make = await loadActor(file);
        await this.#userActors.add(basename(file), make);
      } catch (error) {
        const { message } = toDcsError(error);
        this.#log.error({ actor: file, err: error }, `the actor ${file} is left out: ${message}`);
      }
    }
  }
}
