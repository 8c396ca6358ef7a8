/** Who started the service and watches over it: systemd on a host, nobody elsewhere. */
export interface Supervisor {
  /** Milliseconds within which it wants to hear of progress, or it kills the process; `undefined`: it does not. */
  readonly watchdogMs: number | undefined;
  /** The service does its work from now on, also where that is to say what is wrong. */
  ready(): void;
  progress(): void;
  /** One line for people (`systemctl status`), never a secret; and what the health gate reads of it. */
  status(text: string, facts: LocalFacts): void;
  stopping(): void;
}

type Known = 'ok' | 'no' | 'unknown';

/** How the agent is, by its own look: what the health gate judges another release by [R21]. */
export interface LocalFacts {
  readonly config: Known;
  readonly journal: Known;
  /** Reached, and a pass over its guests came to its end. */
  readonly proxmox: Known;
  /** `off`: this host has none. */
  readonly localApi: Known | 'off';
  /** Told, and no reason to take a release back: the hub has no veto. */
  readonly hub: Known | 'off';
}

/** A record for the log of the supervisor: fields by name, `MESSAGE` and `PRIORITY` among them. */
export type LogRecord = Readonly<Record<string, string>>;

/** False: it was not taken, and has to be told some other way. */
export type LogSocket = (record: LogRecord) => boolean;
