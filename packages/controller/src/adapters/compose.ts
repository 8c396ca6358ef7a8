/**
 * Docker in a guest: the customer's stacks, each a folder with a `compose.yml`, and the controller's own image by digest.
 * Everything goes through `docker compose`, whose arguments are built here and never by a shell.
 */
import { spawn } from 'node:child_process';
import { z } from 'zod';
import { guestPaths } from '../paths.ts';
import type { Apps, Done, GuestFiles, Images, RunningImage } from '../ports.ts';

const commandMs = 120_000;
const outputBytes = 1_048_576;
const stackName = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
const stoppedMark = '.felhom-stopped';

interface Ran {
  readonly code: number | null;
  readonly out: string;
}

/** Stacks below `guestPaths.stacks`. What people stopped carries a mark, so that nothing starts it again. */
export function composeApps(files: GuestFiles): Apps {
  const stacks = async (): Promise<string[]> =>
    (await files.list(guestPaths.stacks))
      .filter(({ name, kind }) => kind === 'directory' && stackName.test(name))
      .map(({ name }) => name);
  const marked = async (stack: string): Promise<boolean> =>
    (await files.read(`${guestPaths.stacks}/${stack}/${stoppedMark}`, 10)) !== undefined;
  const compose = (stack: string, ...args: string[]): Promise<Ran> =>
    run('docker', [
      'compose',
      '--project-directory',
      `${guestPaths.stacks}/${stack}`,
      '--project-name',
      stack,
      ...args,
    ]);
  const each = async (names: readonly string[], ...args: string[]): Promise<Done> => {
    for (const stack of names) {
      const { code } = await compose(stack, ...args);
      if (code !== 0) return { is: 'failed', text: `docker compose ${args[0]} of ${stack} ended with ${code}` };
    }
    return { is: 'done' };
  };
  const runs = async (stack: string): Promise<boolean> =>
    (await compose(stack, 'ps', '--quiet', '--status', 'running')).out.trim() !== '';
  return {
    running: async () => {
      const found: string[] = [];
      for (const stack of await stacks()) if (await runs(stack)) found.push(stack);
      return found;
    },
    stopped: async () => {
      const found: string[] = [];
      for (const stack of await stacks()) if (await marked(stack)) found.push(stack);
      return found;
    },
    // Stopped and not paused: only a program that ended has written everything it meant to.
    quiesce: (names) => each(names, 'stop', '--timeout', '30'),
    unquiesce: async (names) => {
      const wanted: string[] = [];
      for (const stack of names === 'all' ? await stacks() : names) if (!(await marked(stack))) wanted.push(stack);
      return each(wanted, 'start');
    },
    start: async (stack) => {
      await files.remove(`${guestPaths.stacks}/${stack}/${stoppedMark}`);
      return each([stack], 'up', '--detach');
    },
    stop: async (stack) => {
      await files.write(`${guestPaths.stacks}/${stack}/${stoppedMark}`, new Uint8Array(), 0o644);
      return each([stack], 'stop');
    },
    health: async (stack) => {
      const { out } = await compose(stack, 'ps', '--all', '--format', '{{.State}} {{.Health}}');
      const lines = out.split('\n').filter((line) => line.trim() !== '');
      if (lines.length === 0 || lines.some((line) => /^(?:exited|dead|restarting)|unhealthy/.test(line)))
        return 'unhealthy';
      return lines.some((line) => /starting|created/.test(line)) ? 'starting' : 'healthy';
    },
  };
}

const controllerProject = 'felhom-controller';
const controllerFolder = `${guestPaths.home}/controller`;
/** Where the controller's page listens, on loopback of the guest. */
export const controllerPort = 8471;
const healthUrl = `http://127.0.0.1:${controllerPort}/health`;
const lookMs = 2_000;
/** What a controller says of itself: an image of any version, so its word is checked. */
const controllerHealth = z.object({
  healthy: z.boolean(),
  quiesced: z.boolean(),
  text: z.string().max(1000),
  stoppedStacks: z.array(z.string().regex(stackName)).max(64),
});

/** `repository`: where the golden image says that controller images come from, e.g. `registry.example/felhom/controller`. */
export function composeImages(
  files: GuestFiles,
  clock: { sleep(ms: number, signal: AbortSignal): Promise<void> },
  repository: string,
): Images {
  const compose = (...args: string[]): Promise<Ran> =>
    run('docker', ['compose', '--project-directory', controllerFolder, '--project-name', controllerProject, ...args]);
  return {
    run: async ({ digest, config, outward }, signal) => {
      await files.write(`${controllerFolder}/compose.yml`, composeFile(repository, digest, config, outward), 0o600);
      const up = await compose('up', '--detach', '--force-recreate', '--remove-orphans');
      if (up.code !== 0) return { is: 'failed', text: `docker compose up ended with ${up.code}` };
      return watched(compose, clock, signal);
    },
  };
}

function watched(
  compose: (...args: string[]) => Promise<Ran>,
  clock: { sleep(ms: number, signal: AbortSignal): Promise<void> },
  signal: AbortSignal,
): RunningImage {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const ended = (async () => {
    while (!either.aborted) {
      await clock.sleep(lookMs, either).catch(() => undefined);
      const { code, out } = await compose('ps', '--quiet', '--status', 'running');
      if (code === 0 && out.trim() === '') return { text: 'its container ended' };
    }
    return { text: 'it was stopped' };
  })();
  return {
    ended,
    health: async () => {
      const answer = await fetch(healthUrl, { signal: AbortSignal.timeout(lookMs) }).catch(() => undefined);
      // It says that it is unhealthy with 503.
      if (answer === undefined || (answer.status !== 200 && answer.status !== 503)) return undefined;
      const parsed = controllerHealth.safeParse(await answer.json().catch(() => undefined));
      return parsed.success ? parsed.data : undefined;
    },
    stop: async () => {
      stop.abort();
      await compose('down', '--timeout', '30');
    },
  };
}

/** JSON is YAML, and needs no quoting rules of its own. */
function composeFile(
  repository: string,
  digest: string,
  config: Readonly<Record<string, string>>,
  outward: boolean,
): Uint8Array {
  const service = {
    image: `${repository}@sha256:${digest}`,
    restart: 'no',
    network_mode: 'host',
    environment: {
      ...Object.fromEntries(
        Object.entries(config).map(([key, value]) => [`FELHOM_CONFIG_${key.toUpperCase()}`, value]),
      ),
      FELHOM_OUTWARD: outward ? '1' : '0',
    },
    volumes: [
      `${guestPaths.home}:${guestPaths.home}`,
      `${guestPaths.state}:/state`,
      '/srv:/srv',
      '/var/run/docker.sock:/var/run/docker.sock',
    ],
  };
  return new TextEncoder().encode(JSON.stringify({ services: { controller: service } }));
}

function run(command: string, args: readonly string[]): Promise<Ran> {
  return new Promise((done) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'], timeout: commandMs });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => {
      if (out.length < outputBytes) out += chunk.toString('utf8');
    });
    child.once('error', () => done({ code: null, out: '' }));
    child.once('close', (code) => done({ code, out }));
  });
}
