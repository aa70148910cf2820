/** Where log lines rest: a winston file transport with rotation that survives a full disk. */
import winston from 'winston';

/** Size at which a log file is rotated. */
export const LOG_FILE_BYTES = 10 * 1024 * 1024;
/** Files kept per log, the one being written included. */
export const LOG_FILES = 3;

/**
 * A logger that writes to one rotated file. An error of the disk (full, gone, read-only) is reported once and the
 * file is given up: supervision goes on, and nobody's stderr may ever block on our disk.
 */
export function rotatedFile(
  filename: string,
  format: winston.Logform.Format,
  onError: (error: Error) => void,
): winston.Logger {
  const file = new winston.transports.File({
    filename,
    maxsize: LOG_FILE_BYTES,
    maxFiles: LOG_FILES,
    tailable: true,
    options: { flags: 'a', mode: 0o600 },
  });
  const logger = winston.createLogger({ level: 'debug', format, transports: [file] });
  let failed = false;
  const giveUp = (error: Error) => {
    if (failed) return;
    failed = true;
    file.silent = true;
    onError(error);
  };
  file.on('error', giveUp);
  logger.on('error', giveUp);
  return logger;
}

/** Flushes and closes; bounded, because a transport whose disk failed may never say that it has finished. */
export function closeLogger(logger: winston.Logger): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, FLUSH_LIMIT_MS);
    const finished = () => {
      clearTimeout(timer);
      resolve();
    };
    const transports = logger.transports;
    let open = transports.length;
    if (open === 0) return finished();
    for (const transport of transports) {
      transport.once('finish', () => {
        if (--open === 0) finished();
      });
    }
    logger.end();
  });
}

const FLUSH_LIMIT_MS = 1000;
