/** Names of experiments, models and processes become folder and file names, so they are held to what all of those take. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export const NAME_RULE =
  'must begin with a letter or digit and hold only letters, digits, ".", "_" and "-", at most 64 of them';
