/**
 * The program of a controller image. The supervisor's container gives it `/var/lib/felhom` with the session, the
 * customer's stacks and Docker's socket; it serves its page on loopback, where the supervisor asks how it is.
 *
 *   FELHOM_CONFIG_<NAME>   configuration from desired state
 */
import { composeApps, controllerPort } from './adapters/compose.ts';
import { itself, realFiles } from './adapters/real-files.ts';
import { systemClock, systemRandom } from './adapters/system.ts';
import { readSession } from './bootstrap.ts';
import { createLocalClient } from './client/client.ts';
import { httpsConnect } from './client/https.ts';
import { createController } from './controller/controller.ts';
import { createPage } from './page.ts';

const configPrefix = 'FELHOM_CONFIG_';

export async function runControllerImage(env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const files = realFiles(itself);
  const session = await readSession(files);
  if (session === undefined) throw new Error('cannot start the controller: the guest has no session with its host');
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  const client = createLocalClient({
    transport: httpsConnect()(session.address, { is: 'ca', pems: session.ca }),
    clock: systemClock,
    token: session.token,
    // The supervisor opens the next session and starts this program again.
    onUnauthorised: () => stop.abort(),
  });
  const controller = createController({
    client,
    guest: session.guest,
    files,
    apps: composeApps(files),
    clock: systemClock,
    random: systemRandom,
    config: Object.fromEntries(
      Object.entries(env).flatMap(([key, value]) =>
        key.startsWith(configPrefix) && value !== undefined
          ? [[key.slice(configPrefix.length).toLowerCase(), value]]
          : [],
      ),
    ),
    say: (line) => void process.stderr.write(`${line}\n`),
  });
  const page = createPage(controller).listen(controllerPort, '127.0.0.1');
  try {
    await controller.run(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    page.closeAllConnections();
    page.close();
  }
}

if (import.meta.main) await runControllerImage(process.env);
