/** Who started the service and watches over it: systemd on a host, nobody elsewhere. */
export interface Supervisor {
  /** Milliseconds within which it wants to hear of progress, or it kills the process; `undefined`: it does not. */
  readonly watchdogMs: number | undefined;
  /** The service does its work from now on, also where that is to say what is wrong. */
  ready(): void;
  progress(): void;
  /** One line for people (`systemctl status`); never a secret. */
  status(text: string): void;
  stopping(): void;
}

/** A record for the log of the supervisor: fields by name, `MESSAGE` and `PRIORITY` among them. */
export type LogRecord = Readonly<Record<string, string>>;

/** False: it was not taken, and has to be told some other way. */
export type LogSocket = (record: LogRecord) => boolean;
