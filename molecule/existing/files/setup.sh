#!/usr/bin/env bash
# Creates the clusters that an infrastructure team has on a host, as it would by hand.
set -eu
version=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf "%f\n" | sort -n | tail -1)
etc=/etc/postgresql/$version
lib=/var/lib/postgresql/$version
port=5432

create() { # name, options of pg_createcluster
    local name=$1
    shift
    pg_createcluster "$@" --port "$port" "$version" "$name" -- --no-sync -A scram-sha-256 --auth-local=peer >/dev/null
    port=$((port + 1))
    printf 'fsync = off\nshared_buffers = 8MB\nmax_connections = 20\n' >>"$etc/$name/postgresql.conf"
}
query() { # name, statements
    runuser -u postgres -- psql -XAtq --cluster "$version/$1" -d postgres -c "$2"
}

pg_dropcluster --stop "$version" main 2>/dev/null || true
for name in "$@"; do
    case $name in
    main)
        create main
        sed -i "s/^#listen_addresses.*/listen_addresses = '*'   # the whole LAN uses this/
                s/^#password_encryption.*/password_encryption = md5  # old clients/" "$etc/main/postgresql.conf"
        echo "include 'extra.conf'" >>"$etc/main/postgresql.conf"
        echo "log_min_messages = error" >"$etc/main/extra.conf"
        printf '%s\n' "# hand-written by dba" "local   all  postgres  peer" "host    all  all  10.0.0.0/8  md5" \
            "host    all  all  127.0.0.1/32  md5" "host    replication repl 127.0.0.1/32 trust" >"$etc/main/pg_hba.conf"
        if [ "$version" -ge 16 ]; then
            echo "include_if_exists site_rules.conf" >>"$etc/main/pg_hba.conf"
        fi
        echo "host shop shop 192.168.0.0/16 scram-sha-256" >"$etc/main/site_rules.conf"
        chown postgres: "$etc/main/extra.conf" "$etc/main/site_rules.conf"
        ;;
    noinc)
        create noinc
        sed -i "s/^include_dir/#include_dir/" "$etc/noinc/postgresql.conf"
        ;;
    otherinc)
        create otherinc
        sed -i "s/^include_dir.*/include_dir = 'my.d'/" "$etc/otherinc/postgresql.conf"
        mv "$etc/otherinc/conf.d" "$etc/otherinc/my.d"
        echo "work_mem = 5MB" >"$etc/otherinc/my.d/10.conf"
        chown postgres: "$etc/otherinc/my.d/10.conf"
        ;;
    sock)
        mkdir -p /srv/pgsock /srv/data
        chown postgres: /srv/pgsock /srv/data
        create sock -d /srv/data/sock
        sed -i "s#^unix_socket_directories.*#unix_socket_directories = '/srv/pgsock'#
                s/^cluster_name.*/cluster_name = 'prod'/" "$etc/sock/postgresql.conf"
        ;;
    manual)
        create manual --start-conf manual
        ;;
    hbasym)
        create hbasym
        mkdir -p /srv/etc
        mv "$etc/hbasym/pg_hba.conf" /srv/etc/pg_hba_sym.conf
        ln -s /srv/etc/pg_hba_sym.conf "$etc/hbasym/pg_hba.conf"
        chown postgres: /srv/etc
        ;;
    owner)
        useradd --system --no-create-home dbadm
        create owner -u dbadm
        ;;
    standby)
        create standby
        rm -rf "$lib/standby"
        runuser -u postgres -- pg_basebackup -h 127.0.0.1 -p 5432 -U repl -R -c fast -D "$lib/standby"
        ;;
    *)
        create "$name"
        ;;
    esac
    case $name in
    stopped) ;;
    # Its user may not write into /run/postgresql, where the systemd unit expects the file with the process id.
    owner) runuser -u dbadm -- pg_ctlcluster --skip-systemctl-redirect "$version" owner start ;;
    *) pg_ctlcluster "$version" "$name" start ;;
    esac
    case $name in
    main)
        query main "CREATE ROLE shop LOGIN PASSWORD 'shop'; CREATE ROLE repl REPLICATION LOGIN"
        query main "CREATE DATABASE shop OWNER shop"
        ;;
    alter)
        query alter "ALTER SYSTEM SET listen_addresses = '*'"
        query alter "ALTER SYSTEM SET password_encryption = 'md5'"
        pg_ctlcluster "$version" alter restart
        ;;
    scram)
        query scram "ALTER ROLE postgres PASSWORD 'pgpw'"
        sed -i 's/^\(local.*\)peer/\1scram-sha-256/' "$etc/scram/pg_hba.conf"
        pg_ctlcluster "$version" scram reload
        ;;
    esac
done
pg_lsclusters
