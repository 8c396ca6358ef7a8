/**
 * The hub's configuration: one JSON file, each plain entry of which an environment variable overrides. Parsed once. The file
 * holds no secret; the private key of the certificate is named by its file.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { describeIssues } from '@felhom/protocol';
import { z } from 'zod';
import { alertSettings, heartbeatSettings } from './alerts/settings.ts';

const port = z.coerce.number().int().min(0).max(65_535);

export const hubConfig = z.strictObject({
  /** Address to listen on. Beyond loopback only with `tls`. */
  host: z
    .string()
    .refine((text) => text === 'localhost' || isIP(text) !== 0, 'must be an IP address or localhost')
    .default('127.0.0.1'),
  port: port.default(8470),
  database: z.string().min(1).default('/var/lib/felhom-hub/hub.db'),
  tls: z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) }).optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  pollAfterSeconds: z.coerce.number().int().min(1).max(900).default(30),
  /** Routes of alerts; their secrets are named by files too. */
  alerts: alertSettings.default(() => alertSettings.parse({})),
  heartbeat: heartbeatSettings.optional(),
});
export type HubConfig = z.output<typeof hubConfig>;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Throws one line, "cannot …: reason". A file that was not named and does not exist is no error. */
export function loadHubConfig(file: string | undefined, env: Environment): HubConfig {
  const named = file ?? env['FELHOM_HUB_CONFIG'];
  const fromFile = readConfigFile(named ?? '/etc/felhom-hub/config.json', named !== undefined);
  const certFile = env['FELHOM_HUB_TLS_CERT'];
  const keyFile = env['FELHOM_HUB_TLS_KEY'];
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new Error('cannot configure the hub: FELHOM_HUB_TLS_CERT and FELHOM_HUB_TLS_KEY go together, one is missing');
  const parsed = hubConfig.safeParse({
    ...fromFile,
    ...set('host', env['FELHOM_HUB_HOST']),
    ...set('port', env['FELHOM_HUB_PORT']),
    ...set('database', env['FELHOM_HUB_DATABASE']),
    ...set('logLevel', env['FELHOM_HUB_LOG_LEVEL']),
    ...set('pollAfterSeconds', env['FELHOM_HUB_POLL_AFTER_SECONDS']),
    ...(certFile === undefined ? {} : { tls: { certFile, keyFile } }),
  });
  if (parsed.success) return parsed.data;
  throw new Error(`cannot configure the hub: ${describeIssues(parsed.error)}`);
}

function set(key: string, value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { [key]: value };
}

function readConfigFile(file: string, required: boolean): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (!required && error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw new Error(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch (error) {
    throw new Error(`cannot read ${file}: it is not a JSON object`, { cause: error });
  }
}
