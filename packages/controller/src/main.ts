/**
 * The entry of a guest. In a guest it is started by a unit that has `PassEnvironment=FELHOM_CLAIM FELHOM_IDENTITY`; in a lab
 * by whoever starts the guest, with a map that says where its files are.
 *
 *   FELHOM_CLAIM, FELHOM_IDENTITY   from the guest's own environment
 *   FELHOM_AGENT                    address:port of the host where no claim says it; else the default gateway
 *   FELHOM_SOURCE                   address that connections come from
 *   FELHOM_ROOT_MAP                 JSON: guest path → folder of this machine. With it nothing runs in Docker
 *   FELHOM_WITNESS                  folder of the witness's cgroup
 *   FELHOM_BEAT_MS                  milliseconds between beats
 *   FELHOM_CONTROLLER               `built-in`: the reference controller runs while the host wants no image
 *   FELHOM_LEDGER                   folder of the demo app, default /srv/data/ledger
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { composeApps, composeImages } from './adapters/compose.ts';
import { opensshHostKeys, publicKeyOnly } from './adapters/host-keys.ts';
import { itself, realFiles } from './adapters/real-files.ts';
import { defaultGateway, systemClock, systemRandom } from './adapters/system.ts';
import { witnessFolder } from './adapters/witness-folder.ts';
import { httpsConnect } from './client/https.ts';
import { createController } from './controller/controller.ts';
import { runGuest } from './guest.ts';
import type { GuestNeeds } from './guest.ts';
import { createInProcessImages } from './stand-ins/in-process-images.ts';
import { openLedgerStack } from './stand-ins/ledger-stack.ts';

/** Port of the local API where nothing says another. */
const localApiPort = 8470;
const repositoryFile = '/etc/felhom/controller-repository';

type Environment = Readonly<Record<string, string | undefined>>;

function needsOf(env: Environment): GuestNeeds {
  const mapText = env['FELHOM_ROOT_MAP'];
  const map = mapText === undefined ? itself : z.record(z.string(), z.string()).parse(JSON.parse(mapText));
  const isLab = mapText !== undefined;
  const files = realFiles(map);
  const [clock, random] = [systemClock, systemRandom];
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const route = isLab ? undefined : defaultGateway();
  const source = env['FELHOM_SOURCE'];
  const folder = env['FELHOM_WITNESS'];
  const beat = env['FELHOM_BEAT_MS'];
  const common = {
    files,
    clock,
    random,
    say,
    connect: httpsConnect(source === undefined ? {} : { localAddress: source }),
    claim: env['FELHOM_CLAIM'],
    identity: env['FELHOM_IDENTITY'],
    gateway: env['FELHOM_AGENT'] ?? (route === undefined ? undefined : `${route}:${localApiPort}`),
    ...(folder === undefined
      ? {}
      : { witness: { folder: witnessFolder(folder), ...(beat === undefined ? {} : { everyMs: Number(beat) }) } }),
  };
  if (!isLab)
    return {
      ...common,
      hostKeys: opensshHostKeys,
      openApps: () => Promise.resolve(composeApps(files)),
      makeImages: () => composeImages(files, clock, readFileSync(repositoryFile, 'utf8').trim()),
    };
  return {
    ...common,
    hostKeys: publicKeyOnly(files, random),
    openApps: (readOnly) =>
      openLedgerStack(
        { files, clock },
        { folder: env['FELHOM_LEDGER'] ?? '/srv/data/ledger', everyMs: 100, gapMs: 100, readOnly },
      ),
    makeImages: ({ client, session, apps }) => {
      const images = createInProcessImages({
        make: ({ config }) =>
          createController({ client, guest: session.guest, files, apps, clock, random, config, say }),
      });
      return env['FELHOM_CONTROLLER'] === 'built-in' ? images : { run: (...asked) => images.run(...asked) };
    },
  };
}

export async function main(env: Environment): Promise<void> {
  const stop = new AbortController();
  // A guest of a lab ends with the lab, which holds the other end of its standard input.
  if (env['FELHOM_ROOT_MAP'] !== undefined) process.stdin.once('end', () => process.exit(0)).resume();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  await runGuest(needsOf(env), stop.signal);
}

if (import.meta.main) {
  await main(process.env);
  // Nothing that still waits keeps a guest from going down.
  process.exit(0);
}
